//! The size of images.

/// Size of one sample, stored line by line, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
}

impl Image {
    pub fn len(self) -> u32 {
        self.height * self.width * self.channels
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} pixels{}", self.height, self.width, if self.channels == 1 { "" } else { " in colour" })
    }
}
