//! ONNX models: the constants of a graph by their names. Of protobuf, which such files are written in, as much is read as leads to these;
//! nothing of the graph is run.

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::Dtype as TensorType;

use super::foreign::{StoredTensor, StoredTensors};

const MOST_TENSORS: usize = 20_000;
const MOST_AXES: usize = 16;

/// Numbers of fields of ONNX's messages (`onnx.proto`).
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const FLOAT_DATA: u64 = 4;
const NAME: u64 = 8;
const RAW_DATA: u64 = 9;
const DATA_LOCATION: u64 = 14;

/// The constants of the graph that are floating point numbers. Fails where the file is damaged, or has them in other files.
pub(super) fn tensors(bytes: &[u8]) -> Result<StoredTensors> {
    let mut all = StoredTensors::new();
    for graph in messages(bytes, GRAPH)? {
        for initializer in messages(graph, INITIALIZER)? {
            ensure!(all.len() < MOST_TENSORS, "has more than {MOST_TENSORS} tensors");
            all.extend(tensor(initializer)?);
        }
    }
    Ok(all)
}

/// What a field holds.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a length that its type has.
    Fixed,
}

/// The fields of a message, as long as there are some.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.number()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            other => bail!("has a field of type {other}, which there is not"),
        };
        Ok(Some((key >> 3, field)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let (taken, rest) = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length)).context("is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.take(1)?[0]);
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("has a number of more than 64 bits")
    }
}

/// The messages that a message has in a field.
fn messages(bytes: &[u8], wanted: u64) -> Result<Vec<&[u8]>> {
    let (mut fields, mut found) = (Fields(bytes), Vec::new());
    while let Some((number, field)) = fields.next()? {
        if let (true, Field::Bytes(message)) = (number == wanted, field) {
            found.push(message);
        }
    }
    Ok(found)
}

/// A tensor with its name; `None` if its numbers are of a type that weights are not of.
fn tensor(bytes: &[u8]) -> Result<Option<(String, StoredTensor)>> {
    let (mut name, mut shape, mut kind, mut contents) = (String::new(), Vec::new(), 0, Vec::new());
    let mut fields = Fields(bytes);
    let axis =
        |size: u64| usize::try_from(size).ok().filter(|size| *size <= bytes.len()).context("has a tensor that is larger than the file");
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (DIMS, Field::Number(size)) => shape.push(axis(size)?),
            (DIMS, Field::Bytes(packed)) => {
                let mut sizes = Fields(packed);
                while !sizes.0.is_empty() {
                    shape.push(axis(sizes.number()?)?);
                }
            }
            (DATA_TYPE, Field::Number(found)) => kind = found,
            (NAME, Field::Bytes(found)) => name = String::from_utf8_lossy(found).into_owned(),
            (FLOAT_DATA | RAW_DATA, Field::Bytes(found)) => contents = found.to_vec(),
            (DATA_LOCATION, Field::Number(1)) => bail!("has its weights in another file: save it as one"),
            _ => {}
        }
        ensure!(shape.len() <= MOST_AXES, "has a tensor of more than {MOST_AXES} axes");
    }
    let (kind, size) = match kind {
        1 => (TensorType::F32, 4),
        10 => (TensorType::F16, 2),
        11 => (TensorType::F64, 8),
        16 => (TensorType::BF16, 2),
        _ => return Ok(None),
    };
    let elements = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    let fits = elements.and_then(|all| all.checked_mul(size)) == Some(contents.len());
    ensure!(fits, "has {} bytes for `{name}` of shape {shape:?}", contents.len());
    Ok(Some((name, (shape, kind, contents))))
}
