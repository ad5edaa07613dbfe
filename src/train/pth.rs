//! PyTorch's own files (`.pt`, `.pth`, `.bin`): the zip of today and the stream of pickles of before 1.6. Nothing in them is run: of
//! pickle's operations those that build numbers, texts, containers and tensors are followed, and any name of another function is refused.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::Dtype as TensorType;

use super::foreign::StoredTensors;

/// What a stream of before 1.6 begins with, as a pickled number.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Of containers within containers.
const MOST_DEPTH: usize = 32;
const MOST_TENSORS: usize = 20_000;
/// Entries of dictionaries, each time that one is come to: two that refer to one another would be an endless number.
const MOST_ENTRIES: usize = 16 * MOST_TENSORS;
/// Values of a pickle: each takes many times the byte that makes it.
const MOST_VALUES: usize = 1 << 22;
const MOST_AXES: usize = 16;
/// Bytes of a name, or of a storage's key.
const MOST_NAME: usize = 1000;
/// Tensors may share a storage, and are copied each; how often the file's bytes that may be.
const MOST_COPIES: u64 = 4;

/// What functions and classes of a pickle are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Dict,
    /// `_rebuild_tensor`, `_rebuild_tensor_v2`: storage, offset, shape, strides and what is of no use here.
    Tensor,
    /// `_rebuild_parameter`: a tensor and what is of no use here.
    Parameter,
    Size,
    Storage(TensorType),
}

impl Name {
    fn of(module: &str, name: &str) -> Option<Name> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Name::Dict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Name::Tensor,
            ("torch._utils", "_rebuild_parameter") => Name::Parameter,
            ("torch", "Size") => Name::Size,
            ("torch", storage) | ("torch.cuda", storage) => Name::Storage(match storage.strip_suffix("Storage")? {
                "Float" => TensorType::F32,
                "Double" => TensorType::F64,
                "Half" => TensorType::F16,
                "BFloat16" => TensorType::BF16,
                "Long" => TensorType::I64,
                "Int" => TensorType::I32,
                "Short" => TensorType::I16,
                "Char" => TensorType::I8,
                "Byte" => TensorType::U8,
                "Bool" => TensorType::BOOL,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// Numbers that lie in the file by this key.
#[derive(Clone, PartialEq, Debug)]
struct Storage {
    kind: TensorType,
    key: String,
    elements: u64,
}

/// A view of a storage.
#[derive(Clone, PartialEq, Debug)]
struct View {
    storage: Storage,
    offset: u64,
    shape: Vec<u64>,
    strides: Vec<u64>,
}

/// Place of a value among those that a pickle made: containers change after others refer to them.
type Ref = usize;

#[derive(Clone, PartialEq, Debug)]
enum Pickled {
    /// Numbers with a point, `None` and other things that weights do not consist of.
    Other,
    Int(i64),
    Text(String),
    List(Vec<Ref>),
    Tuple(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Name(Name),
    Storage(Storage),
    View(View),
}

/// A pickle as it is read.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Pickled>,
    stack: Vec<Ref>,
    /// Where marks lie on the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Ref>,
}

impl<'a> Machine<'a> {
    /// Reads one pickle from `bytes`. Returns its value and how many bytes it has.
    fn run(bytes: &'a [u8]) -> Result<(Machine<'a>, Ref)> {
        let mut machine = Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let operation = machine.byte()?;
            if operation == b'.' {
                let value = machine.pop()?;
                return Ok((machine, value));
            }
            let at = machine.at;
            machine.step(operation).with_context(|| format!("at byte {at} of a pickle"))?;
            ensure!(machine.values.len() <= MOST_VALUES, "a pickle of more than {MOST_VALUES} values");
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count)).context("it ends too early; was it cut off?")?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of so many bytes.
    fn number(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A length of what follows.
    fn length(&mut self, bytes: usize) -> Result<usize> {
        usize::try_from(self.number(bytes)?).context("a length beyond all memory")
    }

    fn text(&mut self, length: usize) -> Result<String> {
        Ok(std::str::from_utf8(self.take(length)?).context("a text that is not UTF-8")?.to_string())
    }

    /// Up to the end of a line.
    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').context("it ends within a line")?;
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Pickled) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "more is taken than was there");
        Ok(self.stack.pop().expect("it is not empty"))
    }

    /// All since the last mark.
    fn marked(&mut self) -> Result<Vec<Ref>> {
        let mark = self.marks.pop().context("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Ref> {
        self.stack.last().copied().context("nothing is there")
    }

    fn last(&mut self, count: usize) -> Result<Vec<Ref>> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        values.reverse();
        Ok(values)
    }

    fn step(&mut self, operation: u8) -> Result<()> {
        match operation {
            // A version, and the length of a frame.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' | 0x88 | 0x89 => self.push(Pickled::Other),
            b'G' => {
                self.take(8)?;
                self.push(Pickled::Other);
            }
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let number = self.number(4)? as u32;
                self.push(Pickled::Int(i64::from(number as i32)));
            }
            0x8a => {
                let length = self.length(1)?;
                self.long(length)?;
            }
            b'X' => self.string(4)?,
            0x8c => self.string(1)?,
            0x8d => self.string(8)?,
            // Bytes, and the texts of Python 2.
            b'U' | b'C' => self.bytes_of(1)?,
            b'T' | b'B' => self.bytes_of(4)?,
            b'}' => self.push(Pickled::Dict(Vec::new())),
            b']' => self.push(Pickled::List(Vec::new())),
            b')' => self.push(Pickled::Tuple(Vec::new())),
            b't' => {
                let values = self.marked()?;
                self.push(Pickled::Tuple(values));
            }
            0x85..=0x87 => {
                let values = self.last(usize::from(operation - 0x84))?;
                self.push(Pickled::Tuple(values));
            }
            b'a' => {
                let value = self.last(1)?;
                self.append(value)?;
            }
            b'e' => {
                let values = self.marked()?;
                self.append(values)?;
            }
            b's' => {
                let pair = self.last(2)?;
                self.set(&pair)?;
            }
            b'u' => {
                let pairs = self.marked()?;
                self.set(&pairs)?;
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let (number, top) = (self.memo.len() as u64, self.top()?);
                self.memo.insert(number, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?;
            }
            0x93 => {
                let names = self.last(2)?;
                let [Pickled::Text(module), Pickled::Text(name)] = [names[0], names[1]].map(|name| self.values[name].clone()) else {
                    bail!("a name that is no text");
                };
                self.name(&module, &name)?;
            }
            b'Q' => {
                let key = self.pop()?;
                let storage = self.storage(key)?;
                self.push(Pickled::Storage(storage));
            }
            b'R' => {
                let call = self.last(2)?;
                let value = self.call(call[0], call[1])?;
                self.push(value);
            }
            // The attributes of a dictionary, such as the versions of modules.
            b'b' => {
                self.pop()?;
                ensure!(matches!(self.values[self.top()?], Pickled::Dict(_)), "the state of an object that is no dictionary");
            }
            other => bail!("operation {other:#04x} builds something else than weights, which is not done"),
        }
        Ok(())
    }

    fn integer(&mut self, bytes: usize) -> Result<()> {
        let number = self.number(bytes)?;
        self.push(Pickled::Int(number as i64));
        Ok(())
    }

    /// A number of any length, in two's complement.
    fn long(&mut self, length: usize) -> Result<()> {
        let bytes = self.take(length)?;
        let value = match bytes.len() {
            0 => Pickled::Int(0),
            1..=8 => {
                let unused = 64 - 8 * bytes.len();
                let number = bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
                Pickled::Int((number << unused) as i64 >> unused)
            }
            _ => Pickled::Other,
        };
        self.push(value);
        Ok(())
    }

    fn string(&mut self, bytes: usize) -> Result<()> {
        let length = self.length(bytes)?;
        let text = self.text(length)?;
        self.push(Pickled::Text(text));
        Ok(())
    }

    fn bytes_of(&mut self, bytes: usize) -> Result<()> {
        let length = self.length(bytes)?;
        let bytes = self.take(length)?;
        self.push(std::str::from_utf8(bytes).map_or(Pickled::Other, |text| Pickled::Text(text.into())));
        Ok(())
    }

    fn append(&mut self, values: Vec<Ref>) -> Result<()> {
        let top = self.top()?;
        let Pickled::List(list) = &mut self.values[top] else { bail!("values are added to what is no list") };
        list.extend(values);
        Ok(())
    }

    fn set(&mut self, pairs: &[Ref]) -> Result<()> {
        ensure!(pairs.len().is_multiple_of(2), "a key without a value");
        let top = self.top()?;
        let Pickled::Dict(dict) = &mut self.values[top] else { bail!("keys are added to what is no dictionary") };
        dict.extend(pairs.chunks(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn remember(&mut self, bytes: usize) -> Result<()> {
        let (number, top) = (self.number(bytes)?, self.top()?);
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Result<()> {
        let number = self.number(bytes)?;
        let value = *self.memo.get(&number).context("a value that was not remembered")?;
        self.stack.push(value);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<()> {
        let known = Name::of(module, name).with_context(|| {
            format!("it asks for `{module}.{name}`, which is no part of weights: nothing is run that a file asks for, so it is not read")
        })?;
        self.push(Pickled::Name(known));
        Ok(())
    }

    fn int(&self, value: Ref) -> Result<u64> {
        let Pickled::Int(number) = self.values[value] else { bail!("{:?} is no whole number", self.values[value]) };
        u64::try_from(number).ok().with_context(|| format!("{number} is negative"))
    }

    fn ints(&self, values: Ref) -> Result<Vec<u64>> {
        let (Pickled::Tuple(values) | Pickled::List(values)) = &self.values[values] else { bail!("a shape is no tuple") };
        ensure!(values.len() <= MOST_AXES, "a shape of {} axes", values.len());
        values.iter().map(|&value| self.int(value)).collect()
    }

    fn tuple(&self, value: Ref) -> Result<&[Ref]> {
        let Pickled::Tuple(values) = &self.values[value] else { bail!("{:?} is no tuple", self.values[value]) };
        Ok(values)
    }

    /// `("storage", type, key, device, elements, ...)`.
    fn storage(&self, key: Ref) -> Result<Storage> {
        let parts = self.tuple(key)?;
        let [what, kind, key, _, elements, view @ ..] = parts else { bail!("a storage of {} parts", parts.len()) };
        ensure!(self.values[*what] == Pickled::Text("storage".into()), "{:?} is no storage", self.values[*what]);
        ensure!(view.iter().all(|&view| self.values[view] == Pickled::Other), "a storage that is part of another");
        let (Pickled::Name(Name::Storage(kind)), Pickled::Text(key)) = (&self.values[*kind], &self.values[*key]) else {
            bail!("a storage without a type or a key");
        };
        ensure!(key.len() <= MOST_NAME, "a storage whose key has {} bytes", key.len());
        Ok(Storage { kind: *kind, key: key.clone(), elements: self.int(*elements)? })
    }

    fn call(&self, function: Ref, arguments: Ref) -> Result<Pickled> {
        let Pickled::Name(name) = self.values[function] else { bail!("{:?} is called, which is no function", self.values[function]) };
        let arguments = self.tuple(arguments)?;
        match (name, arguments) {
            (Name::Dict, []) => Ok(Pickled::Dict(Vec::new())),
            // As Python 2 pickles it: a list of pairs.
            (Name::Dict, [pairs]) => {
                let Pickled::List(pairs) = &self.values[*pairs] else { bail!("a dictionary of what is no list") };
                let pair = |&pair: &Ref| match &self.values[pair] {
                    Pickled::List(pair) | Pickled::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => bail!("an entry of a dictionary that is no pair"),
                };
                Ok(Pickled::Dict(pairs.iter().map(pair).collect::<Result<_>>()?))
            }
            (Name::Size, [sizes]) => Ok(Pickled::Tuple(match &self.values[*sizes] {
                Pickled::Tuple(sizes) | Pickled::List(sizes) => sizes.clone(),
                _ => bail!("a size is no tuple"),
            })),
            (Name::Tensor, [storage, offset, shape, strides, ..]) => {
                let Pickled::Storage(storage) = &self.values[*storage] else { bail!("a tensor without a storage") };
                let (shape, strides) = (self.ints(*shape)?, self.ints(*strides)?);
                ensure!(shape.len() == strides.len(), "a tensor with {} sizes and {} strides", shape.len(), strides.len());
                Ok(Pickled::View(View { storage: storage.clone(), offset: self.int(*offset)?, shape, strides }))
            }
            (Name::Parameter, [tensor, ..]) => match &self.values[*tensor] {
                Pickled::View(tensor) => Ok(Pickled::View(tensor.clone())),
                other => bail!("{other:?} is no tensor"),
            },
            _ => bail!("{name:?} is called with {} values", arguments.len()),
        }
    }

    /// The tensors of a value by their names: keys of dictionaries within dictionaries, joined by dots.
    fn tensors(&self, value: Ref) -> Result<BTreeMap<String, View>> {
        let (mut found, mut open, mut entries_seen) = (BTreeMap::new(), vec![(String::new(), value, 0)], 0);
        while let Some((name, value, depth)) = open.pop() {
            ensure!(name.len() <= MOST_NAME, "a name of {} bytes", name.len());
            ensure!(depth <= MOST_DEPTH, "containers in containers more than {MOST_DEPTH} deep");
            match &self.values[value] {
                Pickled::View(tensor) => {
                    ensure!(found.len() < MOST_TENSORS, "it has more than {MOST_TENSORS} tensors");
                    found.insert(name, tensor.clone());
                }
                Pickled::Dict(entries) => {
                    entries_seen += entries.len();
                    ensure!(entries_seen <= MOST_ENTRIES, "it has more than {MOST_ENTRIES} entries");
                    // The last one of a name counts, as in Python.
                    for &(key, value) in entries.iter().rev() {
                        let Pickled::Text(key) = &self.values[key] else { continue };
                        open.push((if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, value, depth + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

impl View {
    /// Its values as they follow each other in PyTorch, from those of its storage.
    fn values(&self, storage: &[u8]) -> Result<Vec<u8>> {
        let size = self.storage.kind.bitsize() / 8;
        let elements =
            self.shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size)).context("a shape beyond all memory")?;
        if elements == 0 {
            return Ok(Vec::new());
        }
        let held = storage.len() as u64 / size as u64;
        let extents = self.shape.iter().zip(&self.strides);
        let last = extents.into_iter().try_fold(self.offset, |at, (size, stride)| (size - 1).checked_mul(*stride)?.checked_add(at));
        // What is repeated by strides of zero would be larger than what is stored.
        ensure!(elements <= held && last.is_some_and(|last| last < held), "shape {:?} reaches beyond its {held} values", self.shape);
        let mut values = Vec::with_capacity(elements as usize * size);
        let mut index = vec![0_u64; self.shape.len()];
        for _ in 0..elements {
            let at = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<u64>() + self.offset;
            values.extend_from_slice(&storage[at as usize * size..][..size]);
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        Ok(values)
    }
}

/// Whether bytes are such a file.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    is_stream(bytes) || is_zip(bytes)
}

fn is_stream(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, 0x8a, 10, rest @ ..] if rest.starts_with(&MAGIC))
}

/// Begins as a zip does whose first member is the pickle, or lies beside it.
fn is_zip(bytes: &[u8]) -> bool {
    const BEGINNING: usize = 4096;
    let head = &bytes[..bytes.len().min(BEGINNING)];
    head.starts_with(b"PK\x03\x04") && head.windows(8).any(|window| window == b"data.pkl")
}

/// All tensors of such a file. Fails where it is damaged, or holds what is no weights, by name.
pub(super) fn tensors(bytes: &[u8]) -> Result<StoredTensors> {
    if is_stream(bytes) { of_stream(bytes) } else { of_zip(bytes) }
}

/// The storages that tensors see, each read once.
fn stored(found: BTreeMap<String, View>, file_bytes: usize, mut read: impl FnMut(&Storage) -> Result<Vec<u8>>) -> Result<StoredTensors> {
    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    let (mut tensors, mut copied) = (StoredTensors::new(), 0);
    for (name, tensor) in found {
        let key = &tensor.storage.key;
        if !storages.contains_key(key) {
            storages.insert(key.clone(), read(&tensor.storage).with_context(|| format!("tensor `{name}`"))?);
        }
        let values = tensor.values(&storages[key]).with_context(|| format!("tensor `{name}`"))?;
        copied += values.len() as u64;
        ensure!(copied <= MOST_COPIES * file_bytes as u64, "its tensors are together more than {MOST_COPIES} times as large as the file");
        tensors.insert(name, (tensor.shape.iter().map(|&size| size as usize).collect(), tensor.storage.kind, values));
    }
    ensure!(!tensors.is_empty(), "it holds no tensors");
    Ok(tensors)
}

fn of_zip(bytes: &[u8]) -> Result<StoredTensors> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).context("its archive is damaged; was it cut off?")?;
    let names = archive.file_names().collect::<Result<Vec<_>, _>>().context("its archive is damaged")?;
    let pickle = names.iter().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl").context("it has no data.pkl")?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_string();
    // Members are stored as they are: together they are no larger than the file.
    let mut left = bytes.len() as u64;
    let mut member = |name: String| -> Result<Vec<u8>> {
        let member = archive.by_name(&name).with_context(|| format!("it has no {name}"))?;
        let plain = member.compression() == zip::CompressionMethod::Stored;
        ensure!(plain && member.size() <= left, "{name} is packed, which PyTorch's own files are not");
        left -= member.size();
        let mut contents = Vec::new();
        member.take(bytes.len() as u64).read_to_end(&mut contents).with_context(|| format!("{name} is damaged"))?;
        Ok(contents)
    };
    if let Ok(order) = member(format!("{folder}byteorder")) {
        ensure!(order == b"little", "its numbers have the most significant byte first");
    }
    let pickle = member(format!("{folder}data.pkl"))?;
    let (machine, root) = Machine::run(&pickle)?;
    stored(machine.tensors(root)?, bytes.len(), |storage| {
        ensure!(!storage.key.contains(['/', '\\']), "a storage called `{}`", storage.key);
        member(format!("{folder}data/{}", storage.key))
    })
}

/// Pickles one after the other: a magic number, a version, facts of the system, what was saved and the keys of storages; then these.
fn of_stream(bytes: &[u8]) -> Result<StoredTensors> {
    let mut rest = bytes;
    let mut next = || -> Result<(Machine<'_>, Ref)> {
        let (machine, value) = Machine::run(rest)?;
        rest = &rest[machine.at..];
        Ok((machine, value))
    };
    next()?;
    let (version, number) = next()?;
    ensure!(version.values[number] == Pickled::Int(1001), "its version is {:?}, 1001 is known", version.values[number]);
    next()?;
    let (machine, root) = next()?;
    let (keys, list) = next()?;
    let Pickled::List(list) = &keys.values[list] else { bail!("the keys of its storages are no list") };
    let found = machine.tensors(root)?;
    let kinds: HashMap<&str, &Storage> = machine
        .values
        .iter()
        .filter_map(|value| if let Pickled::Storage(storage) = value { Some((storage.key.as_str(), storage)) } else { None })
        .collect();
    let mut places = HashMap::new();
    for &key in list {
        let Pickled::Text(key) = &keys.values[key] else { bail!("a key of a storage is no text") };
        let count = rest.first_chunk().map(|count| u64::from_le_bytes(*count)).context("it ends before its storages")?;
        let storage = kinds.get(key.as_str()).with_context(|| format!("storage `{key}` belongs to no tensor"))?;
        let length = count.checked_mul(storage.kind.bitsize() as u64 / 8).and_then(|length| usize::try_from(length).ok());
        let contents = length.and_then(|length| rest[8..].get(..length)).context("it ends within its storages; was it cut off?")?;
        places.insert(key.clone(), contents);
        rest = &rest[8 + contents.len()..];
    }
    stored(found, bytes.len(), |storage| {
        Ok(places.get(&storage.key).with_context(|| format!("there is no storage `{}`", storage.key))?.to_vec())
    })
}
