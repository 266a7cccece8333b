//! All trainable parameters as views into one flat tensor.
//!
//! The views are plain tensors, not candle variables: a custom op reads them and writes their gradient into a
//! [`GradientStore`](super::GradientStore) itself, so candle's own gradient map never sees a parameter. Changing the
//! flat tensor in place changes what every view reads.

use candle_core::{Device, Result, Shape, Tensor};
use indexmap::IndexMap;

/// Who trains a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The trunk: every task may contribute, so gradients can be kept a row a task.
    Shared,
    /// A table of the trunk of which a step touches few rows, those of its token ids. Its gradients are kept by row.
    Table,
    /// One task's head.
    Head,
}

/// Where a trainable parameter lies in the flat buffer, in numbers of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Who trains it.
    pub owner: Owner,
    /// Its place among the entries.
    pub index: usize,
    /// First number.
    pub offset: usize,
    /// How many.
    pub len: usize,
}

/// A tensor that an op uses as weight: trainable if it has a slot, else a constant.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The numbers, f32.
    pub value: Tensor,
    /// Where its gradient goes.
    pub slot: Option<Slot>,
}

impl Parameter {
    /// A parameter that is not trained.
    pub fn constant(value: Tensor) -> Self {
        Self { value, slot: None }
    }
}

/// Name, shape and place of a parameter.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The tensor's shape.
    pub shape: Shape,
    /// Its place in the flat buffer.
    pub slot: Slot,
}

/// Where a table lies in the flat buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// First number.
    pub offset: usize,
    /// Rows.
    pub entries: usize,
    /// Numbers of a row.
    pub width: usize,
}

/// The flat buffer: shared parameters first, then tables, then the heads' parameters.
#[derive(Debug)]
pub struct Arena {
    flat: Tensor,
    entries: IndexMap<String, Entry>,
    tables: Vec<Table>,
    shared: usize,
    heads: usize,
}

impl Arena {
    /// Lays out the parameters on the CPU, shared ones first, then tables, then heads', whatever their order here.
    ///
    /// # Errors
    /// If a tensor's numbers do not fill its shape, or a table has not two dimensions.
    pub fn new(parameters: Vec<(String, Shape, Owner, Vec<f32>)>) -> Result<Self> {
        Self::on(&Device::Cpu, parameters)
    }

    /// The same on a device.
    ///
    /// # Errors
    /// As [`Arena::new`], and if the device has no memory for it.
    pub fn on(device: &Device, parameters: Vec<(String, Shape, Owner, Vec<f32>)>) -> Result<Self> {
        let len_of = |owner| parameters.iter().filter(|p| p.2 == owner).map(|p| p.3.len()).sum::<usize>();
        let (shared, heads) = (len_of(Owner::Shared), len_of(Owner::Shared) + len_of(Owner::Table));
        let mut flat = Vec::with_capacity(heads + len_of(Owner::Head));
        let (mut entries, mut tables) = (IndexMap::new(), Vec::new());
        let mut parameters = parameters;
        parameters.sort_by_key(|p| p.2 as u8);
        for (name, shape, owner, values) in parameters {
            if shape.elem_count() != values.len() {
                candle_core::bail!("{name}: {} numbers do not fill the shape {shape:?}", values.len());
            }
            let slot = Slot { owner, index: entries.len(), offset: flat.len(), len: values.len() };
            if owner == Owner::Table {
                let (entries, width) = shape.dims2()?;
                tables.push(Table { offset: flat.len(), entries, width });
            }
            flat.extend_from_slice(&values);
            entries.insert(name, Entry { shape, slot });
        }
        let len = flat.len();
        Ok(Self { flat: Tensor::from_vec(flat, len, device)?, entries, tables, shared, heads })
    }

    /// The parameter of that name, a view into the flat buffer.
    pub fn get(&self, name: &str) -> Option<Parameter> {
        let entry = self.entries.get(name)?;
        let view = self.flat.narrow(0, entry.slot.offset, entry.slot.len).and_then(|v| v.reshape(entry.shape.clone()));
        Some(Parameter { value: view.expect("an entry lies inside the buffer"), slot: Some(entry.slot) })
    }

    /// All entries in the order of the buffer.
    pub fn entries(&self) -> &IndexMap<String, Entry> {
        &self.entries
    }

    /// The name of the parameter that holds the number at `offset`.
    pub fn name_at(&self, offset: usize) -> &str {
        let after = self.entries.values().position(|e| e.slot.offset + e.slot.len > offset);
        after.and_then(|index| self.entries.get_index(index)).map_or("?", |(name, _)| name)
    }

    /// Where the numbers are.
    pub fn device(&self) -> &Device {
        self.flat.device()
    }

    /// The flat buffer.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// Numbers of all shared parameters that are no tables; they are the first of the buffer.
    pub fn shared_len(&self) -> usize {
        self.shared
    }

    /// The tables, after the other shared parameters.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Where the heads' parameters begin, to the end of the buffer.
    pub fn heads_start(&self) -> usize {
        self.heads
    }

    /// Numbers of all parameters.
    pub fn len(&self) -> usize {
        self.flat.elem_count()
    }

    /// Whether nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with the flat buffer's numbers, or with a copy of those that are on a device.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn with<R>(&self, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
        if let candle_core::Storage::Cpu(candle_core::CpuStorage::F32(flat)) = &*self.flat.storage_and_layout().0 {
            return Ok(f(flat));
        }
        Ok(f(&self.snapshot()?))
    }

    /// Copies the flat buffer out.
    pub fn snapshot(&self) -> Result<Vec<f32>> {
        self.flat.to_vec1()
    }

    /// Overwrites the flat buffer; every view sees the new numbers.
    ///
    /// # Errors
    /// If the length differs.
    pub fn restore(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            candle_core::bail!("a snapshot of {} numbers does not fit an arena of {}", values.len(), self.len());
        }
        if self.is_empty() || self.device().is_cpu() {
            return self.update(|flat| flat.copy_from_slice(values));
        }
        self.flat.slice_set(&Tensor::from_slice(values, values.len(), self.device())?, 0, 0)
    }

    /// Changes the flat buffer in place, on the CPU.
    pub(crate) fn update(&self, f: impl FnOnce(&mut [f32])) -> Result<()> {
        struct InPlace<F>(std::sync::Mutex<Option<F>>);
        impl<F: FnOnce(&mut [f32])> candle_core::InplaceOp1 for InPlace<F> {
            fn name(&self) -> &'static str {
                "arena-update"
            }

            fn cpu_fwd(&self, storage: &mut candle_core::CpuStorage, _: &candle_core::Layout) -> Result<()> {
                let candle_core::CpuStorage::F32(flat) = storage else { candle_core::bail!("the arena is f32") };
                if let Some(f) = self.0.lock().expect("never poisoned: one caller").take() {
                    f(flat);
                }
                Ok(())
            }
        }
        self.flat.inplace_op1(&InPlace(std::sync::Mutex::new(Some(f))))
    }
}
