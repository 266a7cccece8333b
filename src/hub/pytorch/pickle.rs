//! Just enough of Python's pickle to read a dictionary of tensors, and nothing that could run.
//!
//! A pickle is a program for a stack machine whose one dangerous instruction calls any Python function by name. Here the
//! few names that tensors need are known and stand for data; any other name is refused when it is read, before a call
//! could name it. `candle_core::pickle` calls nothing either, but is made for files that one trusts: it panics on
//! arguments that are too few, copies remembered values whole, which lets a small file fill the memory, and allocates
//! what a length says. Here values are shared, containers nest only so deep, and lengths are checked against the bytes
//! that are there.

use std::collections::HashMap;
use std::rc::Rc;

/// Deepest nesting of tuples. A state dictionary needs four.
const MAX_DEPTH: u8 = 32;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;
/// The longest name of a tensor, storage or function.
const MAX_NAME: usize = 4096;

/// Why a pickle is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) found: String,
    pub(super) expected: String,
    /// Whether it asks for code to be run.
    pub(super) code: bool,
}

impl Refusal {
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), code: false }
    }
}

/// Result of reading.
pub(super) type Read<T> = Result<T, Refusal>;

/// Format of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F64,
    F32,
    F16,
    Bf16,
    /// Integers of so many bytes: no weights.
    Integer(usize),
}

impl Number {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Integer(bytes) => bytes,
        }
    }

    /// Of a storage class of torch.
    fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::Integer(8),
            "IntStorage" => Self::Integer(4),
            "ShortStorage" => Self::Integer(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Integer(1),
            _ => return None,
        })
    }
}

/// Numbers that lie outside of the pickle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) number: Number,
    pub(super) len: usize,
}

/// A view of a storage. It lies within it, and is no larger.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The names that stand for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Number),
}

/// A value on the stack. Lists and dictionaries lie in [`Machine::lists`]: they change after they were shared.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    /// A number that nothing here needs.
    Other,
    Text(Rc<str>),
    Name(Name),
    Tuple(Rc<[Value]>, u8),
    /// Of pairs, for a dictionary.
    List(usize),
    Dict(usize),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
}

/// A pickle that was read.
pub(super) struct Machine {
    stack: Vec<Value>,
    /// Where the stack stood at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
}

/// Reads one pickle from the start of `bytes`: its value, and how many bytes it took.
pub(super) fn read(bytes: &[u8]) -> Read<(Machine, Value, usize)> {
    let mut input = Input { bytes, at: 0 };
    let mut machine =
        Machine { stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), lists: Vec::new(), dicts: Vec::new() };
    while machine.step(&mut input)? {}
    let value = machine.pop()?;
    Ok((machine, value, input.at))
}

impl Machine {
    /// The entries of a dictionary.
    pub(super) fn dict(&self, value: &Value) -> Option<&[(Value, Value)]> {
        if let Value::Dict(index) = value { Some(&self.dicts[*index]) } else { None }
    }

    /// The items of a list or tuple.
    pub(super) fn items<'a>(&'a self, value: &'a Value) -> Option<&'a [Value]> {
        match value {
            Value::List(index) => Some(&self.lists[*index]),
            Value::Tuple(items, _) => Some(items),
            _ => None,
        }
    }

    /// One instruction; false after the last.
    fn step(&mut self, input: &mut Input<'_>) -> Read<bool> {
        let code = input.byte()?;
        match code {
            // PROTO, FRAME
            0x80 => {
                input.byte()?;
            }
            0x95 => {
                input.take(8)?;
            }
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => self.int(input.number::<1>()?),
            b'M' => self.int(input.number::<2>()?),
            b'J' => {
                let value = i32::from_le_bytes(input.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'G' => {
                input.take(8)?;
                self.stack.push(Value::Other);
            }
            // LONG1
            0x8a => {
                let length = input.byte()?.into();
                let value = long(input.take(length)?);
                self.stack.push(value);
            }
            // BINUNICODE, SHORT_BINUNICODE, BINSTRING, SHORT_BINSTRING
            b'X' | b'T' => self.text(input, 4)?,
            0x8c | b'U' => self.text(input, 1)?,
            b']' => {
                self.lists.push(Vec::new());
                self.stack.push(Value::List(self.lists.len() - 1));
            }
            b'}' => {
                let dict = self.new_dict(Vec::new());
                self.stack.push(dict);
            }
            b')' => self.tuple(Vec::new())?,
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.tuple(items)?;
            }
            b't' => {
                let items = self.pop_marked()?;
                self.tuple(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_marked()?;
                self.append(items)?;
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.set(pair)?;
            }
            b'u' => {
                let pairs = self.pop_marked()?;
                self.set(pairs)?;
            }
            b'q' => self.remember(input.number::<1>()? as u32)?,
            b'r' => self.remember(input.number::<4>()? as u32)?,
            // MEMOIZE
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => self.recall(input.number::<1>()? as u32)?,
            b'j' => self.recall(input.number::<4>()? as u32)?,
            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                self.stack.push(Value::Name(name_of(&module, &name)?));
            }
            // STACK_GLOBAL
            0x93 => {
                let names = self.pop_many(2)?;
                let [Value::Text(module), Value::Text(name)] = &names[..] else { return Err(damaged("a name")) };
                let name = name_of(module, name)?;
                self.stack.push(Value::Name(name));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.stack.push(Value::Storage(Rc::new(storage)));
            }
            b'R' => self.call()?,
            // The attributes of an ordered dictionary are of no use here.
            b'b' => match (self.pop()?, self.stack.last()) {
                (_, Some(Value::Dict(_))) => {}
                _ => return Err(damaged("attributes of a dictionary")),
            },
            other => {
                let found = format!("the pickle instruction 0x{other:02x}");
                return Err(Refusal::new(found, "instructions that a dictionary of tensors needs"));
            }
        }
        Ok(true)
    }

    fn int(&mut self, value: u64) {
        self.stack.push(Value::Int(value as i64));
    }

    fn text(&mut self, input: &mut Input<'_>, width: usize) -> Read<()> {
        let length = if width == 1 { input.number::<1>()? } else { input.number::<4>()? };
        let bytes = input.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.stack.push(Value::Text(String::from_utf8_lossy(bytes).into()));
        Ok(())
    }

    fn new_dict(&mut self, entries: Vec<(Value, Value)>) -> Value {
        self.dicts.push(entries);
        Value::Dict(self.dicts.len() - 1)
    }

    fn tuple(&mut self, items: Vec<Value>) -> Read<()> {
        let depth = |item: &Value| if let Value::Tuple(_, depth) = item { depth + 1 } else { 0 };
        let depth = items.iter().map(depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Refusal::new("tuples nested too deep", format!("at most {MAX_DEPTH} of them")));
        }
        self.stack.push(Value::Tuple(items.into(), depth));
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Read<()> {
        match self.stack.last() {
            Some(Value::List(index)) => self.lists[*index].extend(items),
            _ => return Err(damaged("a list to append to")),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<Value>) -> Read<()> {
        let (Some(Value::Dict(index)), 0) = (self.stack.last(), pairs.len() % 2) else {
            return Err(damaged("a dictionary and pairs"));
        };
        let mut pairs = pairs.into_iter();
        while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
            self.dicts[*index].push((key, value));
        }
        Ok(())
    }

    fn pop(&mut self) -> Read<Value> {
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err(damaged("a value"));
        }
        self.stack.pop().ok_or_else(|| damaged("a value"))
    }

    fn pop_many(&mut self, count: usize) -> Read<Vec<Value>> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count).filter(|&start| start >= lowest) {
            Some(start) => Ok(self.stack.split_off(start)),
            None => Err(damaged("more values")),
        }
    }

    fn pop_marked(&mut self) -> Read<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, id: u32) -> Read<()> {
        let value = self.stack.last().ok_or_else(|| damaged("a value"))?.clone();
        self.memo.insert(id, value);
        Ok(())
    }

    fn recall(&mut self, id: u32) -> Read<()> {
        let value = self.memo.get(&id).ok_or_else(|| damaged("a value that was remembered"))?.clone();
        self.stack.push(value);
        Ok(())
    }

    /// Does what the few known functions do.
    fn call(&mut self) -> Read<()> {
        let both = self.pop_many(2)?;
        let [Value::Name(name), Value::Tuple(args, _)] = &both[..] else { return Err(damaged("a known function")) };
        let value = match (name, &args[..]) {
            (Name::OrderedDict, []) => self.new_dict(Vec::new()),
            (Name::OrderedDict, [pairs]) => {
                let pairs = self.items(pairs).ok_or_else(|| damaged("pairs"))?.iter();
                let pairs = pairs.map(|pair| match self.items(pair) {
                    Some([key, value]) => Ok((key.clone(), value.clone())),
                    _ => Err(damaged("a pair")),
                });
                let pairs = pairs.collect::<Read<_>>()?;
                self.new_dict(pairs)
            }
            (Name::RebuildTensor, [Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
                Value::Tensor(Rc::new(self.tensor(storage, *offset, shape, strides)?))
            }
            (Name::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => tensor.clone(),
            _ => return Err(damaged("the arguments of a tensor")),
        };
        self.stack.push(value);
        Ok(())
    }

    fn tensor(&self, storage: &Rc<Storage>, offset: i64, shape: &Value, strides: &Value) -> Read<Tensor> {
        let sizes = |value: &Value| -> Option<Vec<usize>> {
            let size = |item: &Value| if let Value::Int(size) = item { usize::try_from(*size).ok() } else { None };
            self.items(value).filter(|items| items.len() <= MAX_RANK)?.iter().map(size).collect()
        };
        let (Some(shape), Some(strides), Ok(offset)) = (sizes(shape), sizes(strides), usize::try_from(offset)) else {
            return Err(damaged("a shape, strides and an offset"));
        };
        let within = || -> Option<bool> {
            let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
            let mut last = offset;
            for (&size, &stride) in shape.iter().zip(&strides) {
                last = last.checked_add(size.saturating_sub(1).checked_mul(stride)?)?;
            }
            Some(count == 0 || (count <= storage.len && last < storage.len))
        };
        if shape.len() != strides.len() || within() != Some(true) {
            let found = format!("a tensor of shape {shape:?} over {} numbers", storage.len);
            return Err(Refusal::new(found, "a shape that its storage can fill"));
        }
        Ok(Tensor { storage: storage.clone(), offset, shape, strides })
    }

    /// `("storage", class, key, device, numbers)`, and None at the end in older files.
    fn storage(&self, id: &Value) -> Read<Storage> {
        let Some(
            [Value::Text(what), Value::Name(Name::Storage(number)), Value::Text(key), _, Value::Int(len), rest @ ..],
        ) = self.items(id)
        else {
            return Err(damaged("a storage"));
        };
        let len = usize::try_from(*len).ok().filter(|len| len.checked_mul(number.bytes()).is_some());
        match (&**what, len, rest) {
            ("storage", Some(len), [] | [Value::None]) if key.len() <= MAX_NAME => {
                Ok(Storage { key: key.to_string(), number: *number, len })
            }
            _ => Err(damaged("a storage")),
        }
    }
}

/// What a name stands for. All others are functions that could do anything.
fn name_of(module: &str, name: &str) -> Read<Name> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Name::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Name::RebuildParameter,
        ("torch", class) if Number::of_storage(class).is_some() => {
            Name::Storage(Number::of_storage(class).expect("matched"))
        }
        _ => {
            let called: String = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(80).collect();
            let found = format!("the Python function or class `{called}`");
            return Err(Refusal { code: true, ..Refusal::new(found, "tensors and nothing else") });
        }
    })
}

fn damaged(expected: &str) -> Refusal {
    Refusal::new("a pickle that makes no sense", expected)
}

/// Two's complement, little-endian; numbers beyond 64 bits are of no use here.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Other;
    }
    let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
    let mut value = [fill; 8];
    value[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(value))
}

/// The bytes that are left.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..count) else {
            return Err(Refusal::new("the end of the pickle", format!("{count} bytes more")));
        };
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    /// Unsigned, little-endian.
    fn number<const N: usize>(&mut self) -> Read<u64> {
        Ok(self.array::<N>()?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Read<String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(MAX_NAME).position(|&byte| byte == b'\n').ok_or_else(|| damaged("a name"))?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned())
    }
}
