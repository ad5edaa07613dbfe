//! Tensors as files of many origins hold them; and what a file is that was taken for weights and holds none: told by its content,
//! whatever it is called.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype as TensorType;

use crate::data::misnamed;

/// A tensor of a file: shape, type, bytes.
pub(super) type StoredTensor = (Vec<usize>, TensorType, Vec<u8>);

/// Tensors of a file by name.
pub(super) type StoredTensors = BTreeMap<String, StoredTensor>;

/// Of the beginning of a file, what is searched for names of members.
const BEGINNING: usize = 4096;

/// Says what a file with these contents is and what to do, as the end of a sentence about it; `None` if nothing is known of it.
pub(super) fn described(bytes: &[u8], path: &Path) -> Option<String> {
    let head = &bytes[..bytes.len().min(BEGINNING)];
    let begins = |with: &[u8]| head.starts_with(with);
    let names = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    // Protocol 2 is what PyTorch pickles with; later ones are Python's own.
    let pickle = matches!(head, [0x80, 2..=5, ..]);
    Some(match () {
        () if bytes.is_empty() => "is empty".into(),
        () if begins(b"PK\x03\x04") && names(b".npy") => {
            "is an archive of NumPy's (.npz): save_file of safetensors.numpy writes it anew".into()
        }
        () if begins(b"PK\x03\x04") && is_torchscript(bytes) => {
            "is a program of TorchScript's (torch.jit.save): save the state_dict() of the network that it was made of".into()
        }
        () if begins(b"PK\x03\x04") => "is a zip archive: unpack it first".into(),
        () if pickle => format!("is a pickle of Python's, but none of PyTorch's; {}", converted(path)),
        () if begins(b"\x1f\x8b") => "is packed by gzip: unpack it first".into(),
        () if head.get(257..262) == Some(b"ustar") => "is a tar archive: unpack it first".into(),
        () if begins(b"\x93NUMPY") => "is an array of NumPy's (.npy), without names".into(),
        () if begins(b"\x89HDF\r\n\x1a\n") => "is an HDF5 file, as Keras writes".into(),
        () if begins(b"GGUF") => "is a GGUF file, which is for language models".into(),
        () if text.starts_with('{') => "is a JSON text, perhaps the index of weights in several files: one file is needed".into(),
        () if is_onnx(head) => {
            "is an ONNX model, of none of the networks that are known so: weights are needed as PyTorch names them".into()
        }
        () => return misnamed(head).map(String::from),
    })
}

/// Whether a file begins as an ONNX model does: with a version, then a field that models have beside it: producer, domain, graph, operators.
pub(super) fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=31, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..])
}

/// Whether the list at the end of a zip archive names what TorchScript alone has.
fn is_torchscript(bytes: &[u8]) -> bool {
    const END: usize = 1 << 16;
    let part = b"/code/__torch__";
    bytes[bytes.len().saturating_sub(END)..].windows(part.len()).any(|window| window == part)
}

/// What makes a safetensors file of a file of PyTorch's: a state dict, or a checkpoint that holds one.
fn converted(path: &Path) -> String {
    let (from, to) = (path.display(), path.with_extension("safetensors"));
    let to = if to == path { path.with_extension("converted.safetensors") } else { to };
    format!(
        "this makes a safetensors file of it: python -c \"import sys, torch; from safetensors.torch import save_file; \
         d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); \
         d = next((d[k] for k in ('state_dict', 'model', 'model_state_dict') if k in d), d); \
         save_file({{k: v.detach().contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}}, sys.argv[2])\" \
         \"{from}\" \"{}\"",
        to.display()
    )
}
