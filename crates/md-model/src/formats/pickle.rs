//! A reader of the pickles of `torch.save` that executes nothing.
//!
//! A pickle is a program for a stack machine that may call any Python function. This reader supports the opcodes that
//! build plain containers and numbers, and the globals of `Global`; everything else is rejected by name. Harmless
//! objects that are often stored with weights (a device, a path) are represented only by a placeholder. So a hostile
//! file can be inspected but cannot run. Values are stored in one arena and refer to each other by index: shared and
//! even cyclic structures need no copies and no recursion, and each opcode creates at most one value. Memory is bounded by
//! the length of the file and by [`MOST_INSTRUCTIONS`].
//!
//! No library is used (2026-11): burn-store and candle-core require their whole framework, and serde-pickle does not
//! support persistent ids, by which PyTorch refers to tensor data.
//!
//! Format: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>, protocols 2 to 5.

use std::collections::BTreeMap;

use crate::error::excerpt;

/// Why a pickle is rejected. Positions are bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The end of the file, or of a string in it, lies beyond its last byte.
    #[error("the pickle ends within the instruction at byte {position}")]
    Truncated {
        /// Start of the instruction.
        position: usize,
    },
    /// The pickle refers to Python code that a checkpoint does not need.
    #[error(
        "the pickle refers to the Python object '{name}' ({}byte {position}), which is not in the list of harmless ones \
         and is not executed; if the file is trustworthy, save its model_state_dict and config alone",
        after.as_ref().map_or_else(String::new, |text| format!("after '{text}', "))
    )]
    ForbiddenGlobal {
        /// Module and name, such as `os.system`.
        name: String,
        /// The preceding string, which in a dictionary is the key of the object.
        after: Option<String>,
        /// Position of the reference.
        position: usize,
    },
    /// The pickle has an instruction that checkpoints do not use.
    #[error("the pickle has the instruction {opcode:#04x} at byte {position}, which checkpoints do not use")]
    ForbiddenOpcode {
        /// The instruction.
        opcode: u8,
        /// Position of the instruction.
        position: usize,
    },
    /// The pickle is of an old kind.
    #[error(
        "the pickle is in protocol 0 or 1, expected 2 or later: load the file in Python and save it again with torch.save, \
         without pickle_protocol"
    )]
    OldProtocol,
    /// The pickle is too long.
    #[error(
        "the pickle has more than {limit} instructions, where weights and a configuration have thousands: save \
         model_state_dict and config alone"
    )]
    TooLong {
        /// Maximum number of instructions.
        limit: usize,
    },
    /// The operands of an instruction are invalid.
    #[error("the pickle is damaged at byte {position}: {what}")]
    Damaged {
        /// Position of the instruction.
        position: usize,
        /// Problem with the operands.
        what: &'static str,
    },
}

/// Python objects that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    DefaultDict,
    RebuildTensor,
    RebuildParameter,
    Storage(&'static str),
    /// One of [`HARMLESS`].
    Harmless,
}

/// Classes and functions of values that may be stored with weights, by module. They are not constructed.
const HARMLESS: [(&str, &[&str]); 20] = [
    (
        "torch",
        &[
            "device",
            "Size",
            "float16",
            "bfloat16",
            "float32",
            "float64",
            "uint8",
            "int8",
            "int16",
            "int32",
            "int64",
            "bool",
            "complex64",
            "complex128",
            "uint16",
            "uint32",
            "uint64",
            "strided",
        ],
    ),
    ("torch.torch_version", &["TorchVersion"]),
    ("torch._utils", &["_rebuild_tensor_v3"]),
    ("torch.storage", &["UntypedStorage"]),
    ("builtins", BUILTINS),
    ("__builtin__", BUILTINS),
    ("collections", &["Counter", "deque"]),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    (
        "numpy",
        &[
            "dtype", "ndarray", "bool_", "uint8", "int8", "int16", "int32", "int64", "float16", "float32",
            "float64",
        ],
    ),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("pathlib", PATHS),
    ("pathlib._local", PATHS),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
];

/// Includes the names of Python 2, which its pickle protocol uses.
const BUILTINS: &[&str] = &[
    "set",
    "frozenset",
    "list",
    "dict",
    "tuple",
    "int",
    "long",
    "float",
    "bool",
    "str",
    "unicode",
    "bytes",
    "bytearray",
    "complex",
    "range",
    "xrange",
    "slice",
    "object",
];

const PATHS: &[&str] = &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"];

const STORAGES: [&str; 12] = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
    "ComplexFloatStorage",
    "ComplexDoubleStorage",
];

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("collections", "defaultdict") => Some(Global::DefaultDict),
            _ => STORAGES
                .into_iter()
                .find(|storage| module == "torch" && *storage == name)
                .map(Global::Storage)
                .or_else(|| Self::is_harmless(module, name).then_some(Global::Harmless)),
        }
    }

    fn is_harmless(module: &str, name: &str) -> bool {
        HARMLESS.iter().any(|(m, names)| *m == module && names.contains(&name))
    }
}

/// Maximum number of instructions: a tensor has some 30, a number one or two. Each may take some 100 bytes of memory.
const MOST_INSTRUCTIONS: usize = 1 << 22;

/// Index of a value in the arena of a [`Pickle`].
pub(super) type Id = usize;

/// A Python value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// Target of a persistent id: always a tensor storage, described by a tuple.
    Persistent(Id),
    /// A call of `_rebuild_tensor_v2` with the arguments in this tuple.
    Tensor(Id),
    /// An opaque object that weights do not need.
    Other,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    arena: Vec<Value>,
    pub(super) root: Id,
}

impl Pickle {
    pub(super) fn get(&self, id: Id) -> &Value {
        &self.arena[id]
    }

    pub(super) fn str(&self, id: Id) -> Option<&str> {
        if let Value::Str(s) = self.get(id) { Some(s) } else { None }
    }

    /// Returns the entry `key` of a dictionary.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.get(dict) else { return None };
        // As in Python, the last of equal keys wins.
        entries.iter().rev().find(|(k, _)| self.str(*k) == Some(key)).map(|(_, v)| *v)
    }

    /// Returns a tuple of at most `most` non-negative integers.
    pub(super) fn sizes(&self, id: Id, most: usize) -> Option<Vec<usize>> {
        let Value::Tuple(items) = self.get(id) else { return None };
        if items.len() > most { None } else { items.iter().map(|&item| self.size(item)).collect() }
    }

    /// Returns a non-negative integer.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        if let Value::Int(n) = *self.get(id) { usize::try_from(n).ok() } else { None }
    }

    /// Runs the program in `bytes` up to its STOP.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PickleError> {
        let mut machine = Machine {
            bytes,
            position: 0,
            start: 0,
            arena: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        let root = machine.run()?;
        Ok(Pickle { arena: machine.arena, root })
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Start of the current instruction.
    start: usize,
    arena: Vec<Value>,
    stack: Vec<Id>,
    /// Stack heights at each MARK.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

type Step<T> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Id> {
        for _ in 0..MOST_INSTRUCTIONS {
            self.start = self.position;
            let [opcode] = self.take_array()?;
            match opcode {
                // PROTO, FRAME: nothing to do
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' => {
                    let [n] = self.take_array()?;
                    self.push(Value::Int(i64::from(n)));
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.take_array()?);
                    self.push(Value::Int(i64::from(n)));
                }
                b'J' => {
                    let n = i32::from_le_bytes(self.take_array()?);
                    self.push(Value::Int(i64::from(n)));
                }
                0x8a => self.long1()?,
                b'G' => {
                    let x = f64::from_be_bytes(self.take_array()?);
                    self.push(Value::Float(x));
                }
                0x8c => {
                    let [n] = self.take_array()?;
                    self.string(usize::from(n))?;
                }
                b'X' => {
                    let n = u32::from_le_bytes(self.take_array()?);
                    self.string(n as usize)?;
                }
                b'}' => self.push(Value::Dict(Vec::new())),
                b']' => self.push(Value::List(Vec::new())),
                b')' => self.push(Value::Tuple(Vec::new())),
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Tuple(items));
                }
                n @ 0x85..=0x87 => {
                    let at = self.height_of(usize::from(n - 0x84))?;
                    let items = self.stack.split_off(at);
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let at = self.height_of(2)?;
                    let items = self.stack.split_off(at);
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                b'q' => {
                    let [n] = self.take_array()?;
                    self.memoise(u32::from(n))?;
                }
                b'r' => {
                    let n = u32::from_le_bytes(self.take_array()?);
                    self.memoise(n)?;
                }
                0x94 => {
                    let n = u32::try_from(self.memo.len()).or_else(|_| self.damaged("its memo is full"))?;
                    self.memoise(n)?;
                }
                b'h' => {
                    let [n] = self.take_array()?;
                    self.recall(u32::from(n))?;
                }
                b'j' => {
                    let n = u32::from_le_bytes(self.take_array()?);
                    self.recall(n)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(module, name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Str(module), Value::Str(name)) = (&self.arena[module], &self.arena[name])
                    else {
                        return self.damaged("the name of a global is not a string");
                    };
                    let (module, name) = (module.clone(), name.clone());
                    self.global(&module, &name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id));
                }
                b'R' => self.reduce()?,
                0x81 => self.new_object()?,
                b'C' => {
                    let [n] = self.take_array()?;
                    self.take(usize::from(n))?;
                    self.push(Value::Other);
                }
                b'B' => {
                    let n = u32::from_le_bytes(self.take_array()?);
                    self.take(n as usize)?;
                    self.push(Value::Other);
                }
                // EMPTY_SET, ADDITEMS, FROZENSET.
                0x8f => self.push(Value::Other),
                0x90 => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                0x91 => {
                    self.pop_to_mark()?;
                    self.push(Value::Other);
                }
                b'b' => self.build()?,
                // PROTO begins a pickle from protocol 2 on.
                _ if self.bytes.first() != Some(&0x80) => return Err(PickleError::OldProtocol),
                opcode => return Err(PickleError::ForbiddenOpcode { opcode, position: self.start }),
            }
        }
        Err(PickleError::TooLong { limit: MOST_INSTRUCTIONS })
    }

    /// Calls one of the known functions by recording its arguments.
    fn reduce(&mut self) -> Step<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        match (&self.arena[function], &self.arena[arguments]) {
            (Value::Global(Global::OrderedDict), Value::Tuple(items)) if items.is_empty() => {
                self.push(Value::Dict(Vec::new()));
            }
            (Value::Global(Global::RebuildTensor), Value::Tuple(_)) => self.push(Value::Tensor(arguments)),
            // A parameter is represented by its data, with flags for training.
            (Value::Global(Global::RebuildParameter), Value::Tuple(items)) if !items.is_empty() => {
                self.stack.push(items[0]);
            }
            // The argument is the factory of default values.
            (Value::Global(Global::DefaultDict), Value::Tuple(_)) => self.push(Value::Dict(Vec::new())),
            (Value::Global(Global::Harmless), Value::Tuple(_)) => self.push(Value::Other),
            _ => return self.damaged("a call of what is no function, or without arguments"),
        }
        Ok(())
    }

    /// Records an object of a harmless class.
    fn new_object(&mut self) -> Step<()> {
        let at = self
            .height_of(2)
            .ok()
            .filter(|&at| matches!(self.arena[self.stack[at]], Value::Global(Global::Harmless)));
        let Some(at) = at else {
            return Err(PickleError::ForbiddenOpcode { opcode: 0x81, position: self.start });
        };
        self.stack.truncate(at);
        self.push(Value::Other);
        Ok(())
    }

    /// Sets the attributes of an object; those of an `OrderedDict` (`_metadata`) are ignored.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        let object = self.top()?;
        match self.arena[object] {
            Value::Dict(_) | Value::Other => Ok(()),
            _ => self.damaged("attributes of what is no dictionary"),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
        let known = Global::find(module, name).ok_or_else(|| {
            let texts = self.stack.iter().rev().filter_map(|&id| match &self.arena[id] {
                Value::Str(text) => Some(excerpt(text)),
                _ => None,
            });
            PickleError::ForbiddenGlobal {
                name: excerpt(&format!("{module}.{name}")),
                after: texts.into_iter().next(),
                position: self.start,
            }
        })?;
        self.push(Value::Global(known));
        Ok(())
    }

    /// Reads a little-endian two's complement integer. One of more than 8 bytes, such as a seed, is not needed.
    fn long1(&mut self) -> Step<()> {
        let [n] = self.take_array()?;
        let bytes = self.take(usize::from(n))?;
        if bytes.len() > 8 {
            self.push(Value::Other);
            return Ok(());
        }
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [sign; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    fn string(&mut self, length: usize) -> Step<()> {
        match std::str::from_utf8(self.take(length)?) {
            Ok(s) => {
                self.push(Value::Str(s.to_owned()));
                Ok(())
            }
            Err(_) => self.damaged("a string is not UTF-8"),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Step<()> {
        let list = self.top()?;
        match &mut self.arena[list] {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            Value::Other => Ok(()),
            _ => self.damaged("items for what is no list"),
        }
    }

    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let dict = self.top()?;
        match (&mut self.arena[dict], items.as_chunks::<2>()) {
            (Value::Dict(entries), (pairs, [])) => {
                entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            (Value::Other, (_, [])) => Ok(()),
            (Value::Dict(_) | Value::Other, _) => self.damaged("a key without a value"),
            _ => self.damaged("entries for what is no dictionary"),
        }
    }

    fn memoise(&mut self, key: u32) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Step<()> {
        match self.memo.get(&key) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => self.damaged("a value is recalled that was never stored"),
        }
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.arena.len());
        self.arena.push(value);
    }

    /// Returns the height of the stack without its last `n` values, which must have been pushed after the last MARK.
    fn height_of(&self, n: usize) -> Step<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(height) if height >= floor => Ok(height),
            _ => self.damaged("too few values on the stack"),
        }
    }

    fn pop(&mut self) -> Step<Id> {
        let at = self.height_of(1)?;
        let top = self.stack[at];
        self.stack.truncate(at);
        Ok(top)
    }

    fn top(&self) -> Step<Id> {
        Ok(self.stack[self.height_of(1)?])
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.damaged("no MARK on the stack"),
        }
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..n).ok_or(PickleError::Truncated { position: self.start })?;
        self.position += n;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or(PickleError::Truncated { position: self.start })
    }

    /// Reads text up to the next newline.
    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.position..];
        let length =
            rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated { position: self.start })?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).or_else(|_| self.damaged("a name is not UTF-8"))
    }

    fn damaged<T>(&self, what: &'static str) -> Step<T> {
        Err(PickleError::Damaged { position: self.start, what })
    }
}
