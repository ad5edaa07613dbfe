//! Choices that are entries of a registry: known by their names in settings, checkpoints and on the command line.

/// Declares `$handle`, a copyable entry of `$registry`, which is a list of statics that implement `$entry`. That trait has `name`
/// and `help`.
#[macro_export]
macro_rules! choice {
    ($(#[$about:meta])* $handle:ident of dyn $entry:path, $registry:ident: $($constant:ident = $place:expr),+ $(,)?) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct $handle(&'static dyn $entry);

        /// All entries, in the order of `--help`.
        pub static $registry: &[$handle] = &[$($handle(&$place)),+];

        impl $handle {
            $(pub const $constant: Self = $handle(&$place);)+

            /// The entry of this name.
            pub fn named(name: &str) -> Option<Self> {
                $registry.iter().copied().find(|entry| entry.name() == name)
            }
        }

        impl std::ops::Deref for $handle {
            type Target = dyn $entry;

            fn deref(&self) -> &Self::Target {
                self.0
            }
        }

        impl PartialEq for $handle {
            fn eq(&self, other: &Self) -> bool {
                self.name() == other.name()
            }
        }

        impl Eq for $handle {}

        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::fmt::Display for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $handle {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $handle {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::named(&name).ok_or_else(|| {
                    let known: Vec<&str> = $registry.iter().map(|entry| entry.name()).collect();
                    serde::de::Error::custom(format!("`{name}` is unknown; there are {}", known.join(", ")))
                })
            }
        }

        impl clap::ValueEnum for $handle {
            fn value_variants<'a>() -> &'a [Self] {
                $registry
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.name()).help(self.help()))
            }
        }
    };
}
