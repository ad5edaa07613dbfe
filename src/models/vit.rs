//! Vision transformers (Dosovitskiy et al., 2021): pictures by attention among their patches, with timm's names of tensors but for
//! queries, keys and values, which are apart here.

use super::encoder::{Encoder, Published, ShapeOf};
use super::layers::{Place, constant_ids, patches, pre_norm_block, row_norm};
use super::{ModelSettings, Normalization, TransformerShape};
use crate::core::buffer::{Buf, Fill, Maps, Tensor, shape};
use crate::core::sample::{Image, NO_TOKEN, SampleType};
use crate::core::tape::Tape;
use crate::data::{Interpolation, Resize};
use crate::ops::{Activation, Value, add, channel_scale, embedding, embedding_bag};

/// What layer norm adds to variances.
const EPS: f32 = 1e-6;
/// Columns of a head, but for the widest networks, which have sixteen heads.
const HEAD: u32 = 64;
const SIXTEEN: [u32; 4] = [1152, 1280, 1408, 1664];

/// A vision transformer.
pub(super) struct Vit {
    name: &'static str,
    help: &'static str,
    /// Before a file says otherwise.
    usual: TransformerShape,
    /// Whether what a layer adds is scaled, column by column (Touvron et al., 2021).
    scaled: bool,
    published: &'static [Published],
}

pub(super) static ENCODER: Vit = Vit {
    name: "vit",
    help: "Vision transformer, with timm's parameter names, of the size that weights have.",
    usual: TransformerShape { width: 192, heads: 3, inner: 768, positions: 197, patch: 16, eps: EPS, ..TransformerShape::MINILM },
    scaled: false,
    published: &[Published {
        by: "timm",
        trained_on: "ImageNet-21k, then ImageNet-1k",
        licence: "Apache-2.0",
        made: "python -c \"import timm, torch; torch.save(timm.create_model('vit_tiny_patch16_224', pretrained=True).state_dict(), 'vit_tiny.pth')\"",
        normalization: Normalization { mean: [0.5; 3], std: [0.5; 3] },
        resize: Resize::crop(0.9, Interpolation::Bicubic),
        ours: |name| Some(name.into()),
    }],
};

pub(super) static DINOV2: Vit = Vit {
    name: "dinov2",
    help: "DINOv2's vision transformer, trained without labels, with timm's parameter names, of the size that weights have.",
    usual: TransformerShape { heads: 6, positions: 1370, patch: 14, eps: EPS, ..TransformerShape::MINILM },
    scaled: true,
    published: &[
        Published {
            by: "timm",
            trained_on: "142 million pictures, without labels (Oquab et al., 2023)",
            licence: "Apache-2.0",
            made: "python -c \"import timm, torch; torch.save(timm.create_model('vit_small_patch14_dinov2', pretrained=True).state_dict(), 'dinov2_small.pth')\"",
            normalization: Normalization::IMAGENET,
            resize: Resize::crop(0.875, Interpolation::Bicubic),
            ours: |name| Some(name.into()),
        },
        Published {
            by: "transformers",
            trained_on: "142 million pictures, without labels (Oquab et al., 2023)",
            licence: "Apache-2.0",
            made: "model.safetensors of facebook/dinov2-small",
            normalization: Normalization::IMAGENET,
            resize: Resize::crop(0.875, Interpolation::Bicubic),
            ours: of_transformers,
        },
    ],
};

/// timm's name of a tensor of transformers' Dinov2Model.
fn of_transformers(name: &str) -> Option<String> {
    const PLAIN: [(&str, &str); 5] = [
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight"),
        ("embeddings.patch_embeddings.projection.bias", "patch_embed.proj.bias"),
        ("embeddings.mask_token", "mask_token"),
    ];
    const PARTS: [(&str, &str); 8] = [
        ("attention.attention.query", "attn.q"),
        ("attention.attention.key", "attn.k"),
        ("attention.attention.value", "attn.v"),
        ("attention.output.dense", "attn.proj"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
        ("norm1", "norm1"),
        ("norm2", "norm2"),
    ];
    if let Some((_, ours)) = PLAIN.iter().find(|(theirs, _)| *theirs == name) {
        return Some(ours.to_string());
    }
    if let Some(what) = name.strip_prefix("layernorm.") {
        return Some(format!("norm.{what}"));
    }
    let (block, rest) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    let ours = match rest {
        "layer_scale1.lambda1" => "ls1.gamma".to_string(),
        "layer_scale2.lambda1" => "ls2.gamma".into(),
        _ => {
            let (part, what) = rest.rsplit_once('.')?;
            format!("{}.{what}", PARTS.iter().find(|(theirs, _)| *theirs == part)?.1)
        }
    };
    block.parse::<u32>().ok().map(|block| format!("blocks.{block}.{ours}"))
}

impl Encoder for Vit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn describe(&self, model: &ModelSettings) -> String {
        let TransformerShape { width, layers, patch, .. } = self.shape(model);
        format!("{} of {layers} layers, {width} wide, patches of {patch} pixels", self.name)
    }

    fn refuses(&self, model: &ModelSettings, samples: SampleType) -> Option<String> {
        let Image { height, width, .. } = samples.image()?;
        let TransformerShape { patch, .. } = self.shape(model);
        let fits = patch > 0 && height == width && height > 0 && height.is_multiple_of(patch);
        let near = (height.min(width) / patch.max(1)).max(1) * patch;
        let text = || format!("{} takes squares whose sides are multiples of {patch} pixels, such as --size {near}", self.name);
        (!fits).then(text)
    }

    /// Its patches stay as they are: nothing is as fine as pixels.
    fn has_stages(&self) -> bool {
        false
    }

    /// Layers with layer norm before them; the class token after the last one.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let shape @ TransformerShape { width, layers, patch, eps, .. } = self.shape(model);
        let (group, x) = (place.group, x.maps());
        let x = patches(t, "patch_embed.proj", group, x, width, patch);
        let [mut rows, there] = self.with_class(t, group, x);
        let (batch, room) = (there.rows(), there.cols());
        for block in 0..layers {
            let scaled = |t: &mut Tape<'_>, name: &str, x: Buf| self.layer_scale(t, name, group, x);
            rows = pre_norm_block(t, &format!("blocks.{block}"), group, rows, there, shape, &scaled);
        }
        let rows = row_norm(t, "norm", group, rows, eps);
        let first = constant_ids(t, "class tokens", [batch, 4], |picture, at| if at == 0 { picture * room } else { NO_TOKEN });
        embedding_bag(t, "class token", first, rows)
    }

    fn trained_from(&self, _few: bool) -> Option<String> {
        Some("blocks.0".into())
    }

    fn has_batch_norm(&self) -> bool {
        false
    }

    fn published(&self) -> &'static [Published] {
        self.published
    }

    fn size(&self, model: &mut ModelSettings, shape_of: &ShapeOf<'_>) -> Option<u32> {
        let side = |name: &str, axis: usize| shape_of(name).and_then(|shape| shape.get(axis).copied());
        let usual = self.usual;
        let width = side("patch_embed.proj.weight", 0).unwrap_or(usual.width);
        let layers = (0..).take_while(|block| side(&format!("blocks.{block}.mlp.fc1.weight"), 0).is_some()).count() as u32;
        model.shape = Some(TransformerShape {
            width,
            layers: layers.max(1),
            heads: if SIXTEEN.contains(&width) { 16 } else { (width / HEAD).max(1) },
            inner: side("blocks.0.mlp.fc1.weight", 0).unwrap_or(usual.inner),
            positions: side("pos_embed", 1).unwrap_or(usual.positions),
            patch: side("patch_embed.proj.weight", 2).unwrap_or(usual.patch),
            ..usual
        });
        None
    }

    fn refit(&self, name: &str, values: &[f32], [from, to]: [u32; 2]) -> Option<Vec<f32>> {
        (name == "pos_embed").then(|| self.interpolated(values, from, to)).flatten()
    }

    fn fused(&self, name: &str) -> Option<Vec<String>> {
        let (before, what) = name.split_once(".attn.qkv.")?;
        Some(["q", "k", "v"].map(|part| format!("{before}.attn.{part}.{what}")).into())
    }
}

impl Vit {
    fn shape(&self, model: &ModelSettings) -> TransformerShape {
        model.shape.unwrap_or(self.usual)
    }

    /// Rows of each picture: its class token, then its patches line by line, each with its position; and which of these rows there are,
    /// as their number is rounded up to a multiple of four.
    fn with_class(&self, t: &mut Tape<'_>, group: u8, x: Maps) -> [Buf; 2] {
        let (batch, width, of_picture) = (x.batch, x.channels(), x.height * x.width);
        let count = 1 + of_picture;
        let room = count.next_multiple_of(4);
        let table = |t: &mut Tape<'_>, name: &str, rows: u32| {
            t.param(name, group, Tensor::Places(shape(rows, width)), Fill::Uniform(0.02 * 1.732_050_8))
        };
        let (class, positions) = (table(t, "cls_token", 1), table(t, "pos_embed", count));
        let ids = |t: &mut Tape<'_>, name: &str, id: &dyn Fn(u32, u32) -> u32| {
            constant_ids(t, name, [batch, room], |picture, at| if at < count { id(picture, at) } else { NO_TOKEN })
        };
        let of_patches = ids(t, "places of patches", &|picture, at| if at == 0 { NO_TOKEN } else { picture * of_picture + at - 1 });
        let of_class = ids(t, "places of class tokens", &|_, at| if at == 0 { 0 } else { NO_TOKEN });
        let of_positions = ids(t, "positions", &|_, at| at);
        let rows = embedding(t, "patches", of_patches, x.buf);
        let class = embedding(t, "class tokens of pictures", of_class, class);
        let positions = embedding(t, "positions of patches", of_positions, positions);
        let rows = add(t, "patches and class tokens", rows, class, Activation::None);
        [add(t, "tokens", rows, positions, Activation::None), of_positions]
    }

    /// Columns by a factor each, if this transformer has them.
    fn layer_scale(&self, t: &mut Tape<'_>, name: &str, group: u8, x: Buf) -> Buf {
        if !self.scaled {
            return x;
        }
        let factors = t.param(&format!("{name}.gamma"), group, Tensor::Vector(x.cols()), Fill::F32(vec![1e-5; x.cols() as usize]));
        channel_scale(t, name, Maps::new(x, 1, x.rows(), 1), factors).buf
    }

    /// Positions of another grid of patches, behind that of the class token; `None` where grids are no squares. DINOv2's by its own rule
    /// (Keys's cubic with a = -0.75 over four positions, those beyond the edge as at it, and a scale that is 0.1 of a patch off), others by
    /// timm's (the antialiased cubic with a = -0.5).
    fn interpolated(&self, values: &[f32], from: u32, to: u32) -> Option<Vec<f32>> {
        let side = |rows: u32| Some(rows.checked_sub(1)?.isqrt()).filter(|side| side * side + 1 == rows && *side > 0);
        let (from, to) = (side(from)? as usize, side(to)? as usize);
        let width = values.len() / (from * from + 1);
        let taps = if self.scaled { offset_taps(from, to) } else { stretched_taps(from, to) };
        let (class, grid) = values.split_at(width);
        let mut out = class.to_vec();
        for line in &taps {
            for place in &taps {
                let mut sums = vec![0.0_f64; width];
                for &(y, of_line) in line {
                    for &(x, of_place) in place {
                        let position = &grid[(y * from + x) * width..][..width];
                        sums.iter_mut().zip(position).for_each(|(sum, value)| *sum += of_line * of_place * f64::from(*value));
                    }
                }
                out.extend(sums.into_iter().map(|sum| sum as f32));
            }
        }
        Some(out)
    }
}

/// Keys's cubic.
fn cubic(x: f64, a: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => a * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

/// (place, share) of those that make each of `to` places.
type Shares = Vec<Vec<(usize, f64)>>;

fn offset_taps(from: usize, to: usize) -> Shares {
    const OFFSET: f64 = 0.1;
    let scale = from as f64 / (to as f64 + OFFSET);
    let of = |i: usize| {
        let center = (i as f64 + 0.5) * scale - 0.5;
        let first = center.floor() as i64 - 1;
        let tap = |at: i64| (at.clamp(0, from as i64 - 1) as usize, cubic(center - at as f64, -0.75));
        (first..first + 4).map(tap).collect()
    };
    (0..to).map(of).collect()
}

fn stretched_taps(from: usize, to: usize) -> Shares {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let of = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let [first, end] = [center - 2.0 * stretch, center + 2.0 * stretch].map(|at| ((at + 0.5).floor().max(0.0) as usize).min(from));
        let taps: Vec<(usize, f64)> = (first..end).map(|at| (at, cubic((at as f64 + 0.5 - center) / stretch, -0.5))).collect();
        let sum: f64 = taps.iter().map(|(_, share)| share).sum();
        taps.into_iter().map(|(at, share)| (at, share / sum)).collect()
    };
    (0..to).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_transformers_are_known() {
        for (theirs, ours) in [
            ("embeddings.cls_token", "cls_token"),
            ("embeddings.patch_embeddings.projection.bias", "patch_embed.proj.bias"),
            ("encoder.layer.11.attention.attention.query.weight", "blocks.11.attn.q.weight"),
            ("encoder.layer.0.attention.output.dense.bias", "blocks.0.attn.proj.bias"),
            ("encoder.layer.3.layer_scale2.lambda1", "blocks.3.ls2.gamma"),
            ("encoder.layer.3.norm2.weight", "blocks.3.norm2.weight"),
            ("layernorm.weight", "norm.weight"),
        ] {
            assert_eq!(of_transformers(theirs).as_deref(), Some(ours), "{theirs}");
        }
        for stranger in ["encoder.layer.x.norm1.weight", "encoder.layer.0.other.weight", "blocks.0.norm1.weight", "pooler.dense.weight"] {
            assert_eq!(of_transformers(stranger), None, "{stranger}");
        }
        assert_eq!(DINOV2.fused("blocks.2.attn.qkv.bias"), Some(["q", "k", "v"].map(|part| format!("blocks.2.attn.{part}.bias")).into()));
        assert_eq!(DINOV2.fused("blocks.2.attn.proj.bias"), None);
    }

    #[test]
    fn positions_are_interpolated_to_other_grids() {
        // A class token, then a grid of 4 x 4 whose values are a plane: inside, either cubic keeps it.
        let plane = |side: usize| {
            (0..side * side).map(move |i| ((i / side) as f32 + 0.5) * 8.0 / side as f32 + ((i % side) as f32 + 0.5) / side as f32)
        };
        let values: Vec<f32> = std::iter::once(7.0).chain(plane(8)).collect();
        assert_eq!(ENCODER.refit("norm.weight", &values, [65, 17]), None);
        assert_eq!(ENCODER.refit("pos_embed", &values, [65, 18]), None, "no square");
        let found = ENCODER.refit("pos_embed", &values, [65, 26]).expect("squares");
        assert_eq!((found.len(), found[0]), (26, 7.0));
        let wanted: Vec<f32> = plane(5).collect();
        assert!((found[1 + 12] - wanted[12]).abs() < 1e-5, "{} is not {}", found[13], wanted[12]);
        let same = ENCODER.refit("pos_embed", &values, [65, 65]).expect("the same");
        assert!(same.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
