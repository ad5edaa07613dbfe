//! Operands in textures.

use crate::core::buffer::{Arena, Buf};
use crate::core::shader::TexelGrid;

/// A buffer's copy in a texture, for variants that read it so. Some rows of a buffer share one with other rows of it.
pub(super) struct Texture {
    /// What it holds, if it is current.
    pub(super) buf: Buf,
    pub(super) grid: TexelGrid,
    texture: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
    /// Nothing wrote to the buffer since it was copied.
    pub(super) current: bool,
}

/// Whether one texture serves both: parts of one buffer take turns in it.
pub(super) fn same_texture(a: Buf, b: Buf, arena: &Arena) -> bool {
    let part = |of: Buf| !arena.bufs().iter().any(|whole| whole.buf == of);
    a == b || (a.alloc, a.shape) == (b.alloc, b.shape) && part(a) && part(b)
}

impl Texture {
    pub(super) fn new(device: &wgpu::Device, buf: Buf) -> Self {
        let grid = TexelGrid::of(buf.shape).expect("such variants are not chosen for buffers that do not fit");
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("operand"),
            size: wgpu::Extent3d { width: grid.room().0, height: grid.room().1, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&Default::default());
        Texture { buf, grid, texture, view, current: false }
    }

    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer) {
        let TexelGrid { width, height, .. } = self.grid;
        let quads = (self.buf.shape.words() / 4) as u32;
        let (full, rest) = (quads / width, quads % width);
        // A last line that is not full is a copy of its own: it must not read beyond the buffer.
        for (y, width, lines) in [(0, width, full), (height - 1, rest, 1)] {
            if width * lines > 0 {
                let offset = 4 * u64::from(self.buf.offset) + 16 * u64::from(y * self.grid.width);
                let bytes_per_row = (lines > 1).then_some(16 * width);
                let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row, rows_per_image: None };
                let to = wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x: 0, y, z: 0 }, ..self.texture.as_image_copy() };
                let extent = wgpu::Extent3d { width, height: lines, depth_or_array_layers: 1 };
                encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, to, extent);
            }
        }
    }
}
