//! The gradient of a table on the device: rows for the entries that a step touched, and sums into them by token.

use super::super::{Table, TableRows};
use super::kernels::{File, across, blocks, kernel};
use super::{DeviceGradient, upload};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, CudaViewMut, PushKernelArg};
use candle_core::{CudaDevice, Result};
use std::collections::HashMap;
use std::ops::Range;

/// Marks an entry without a place.
const ABSENT: u32 = u32::MAX;
/// Tokens that one piece of a sum adds up.
const PIECE: usize = 32;

/// Tokens by the index that they have, in pieces that are added up by themselves.
pub(super) struct Groups {
    /// Each index once, in the order of first tokens.
    pub indices: Vec<u32>,
    /// Tokens, those of a group together.
    tokens: Vec<u32>,
    /// First token of each piece, and the end.
    pieces: Vec<u32>,
    /// First piece of each group, and the end.
    groups: Vec<u32>,
}

impl Groups {
    /// The tokens of a span.
    pub fn new(indices: &[u32], span: Range<usize>) -> Self {
        let mut found: HashMap<u32, usize> = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        let mut distinct = Vec::new();
        for (&index, token) in indices[span.clone()].iter().zip(span.start as u32..) {
            let group = *found.entry(index).or_insert_with(|| {
                distinct.push(index);
                members.push(Vec::new());
                members.len() - 1
            });
            members[group].push(token);
        }
        let mut all = Self { indices: distinct, tokens: Vec::new(), pieces: vec![0], groups: vec![0] };
        for group in members {
            for piece in group.chunks(PIECE) {
                all.tokens.extend(piece);
                all.pieces.push(all.tokens.len() as u32);
            }
            all.groups.push(all.pieces.len() as u32 - 1);
        }
        all
    }

    /// Adds the rows of `dy` `[_, width]` of each group to row `places[group]` of `to` `[_, width]`.
    pub fn add(
        &self,
        device: &CudaDevice,
        to: DeviceGradient<'_>,
        places: &[u32],
        dy: &CudaView<'_, f32>,
        width: usize,
    ) -> Result<()> {
        let stream = device.cuda_stream();
        let (pieces, groups) = (self.pieces.len() - 1, self.groups.len() - 1);
        let (last, rows) = (self.tokens.iter().max().copied(), places.iter().max().copied());
        let (Some(last), Some(rows)) = (last, rows) else { return Ok(()) };
        let room = match &to {
            DeviceGradient::F32(to) => to.len(),
            DeviceGradient::Bf16(to) => to.len(),
        };
        if (last as usize + 1) * width > dy.len() || (rows as usize + 1) * width > room || places.len() != groups {
            candle_core::bail!("gradients of a table's rows that lie outside of it");
        }
        // SAFETY: the kernel writes all of it.
        let mut partial = unsafe { device.alloc::<f32>(pieces * width) }?;
        let (tokens, starts) = (upload(device, &self.tokens)?, upload(device, &self.pieces)?);
        let (group_starts, places) = (upload(device, &self.groups)?, upload(device, places)?);
        let width_arg = width as i32;
        let function = kernel(device, File::Rows, "piece_sums")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut partial).arg(dy).arg(&tokens).arg(&starts).arg(&width_arg);
        // SAFETY: tokens lie inside `dy`, as was checked; `partial` has a row for each block.
        unsafe { launch.launch(blocks(pieces, across(width))) }.w()?;
        let (name, mut f32s, mut bf16s) = match to {
            DeviceGradient::F32(to) => ("add_groups_f32", Some(to), None),
            DeviceGradient::Bf16(to) => ("add_groups_bf16", None, Some(to)),
        };
        let function = kernel(device, File::Rows, name)?;
        let mut launch = stream.launch_builder(&function);
        if let Some(to) = &mut f32s {
            launch.arg(to);
        }
        if let Some(to) = &mut bf16s {
            launch.arg(to);
        }
        launch.arg(&partial).arg(&group_starts).arg(&places).arg(&width_arg);
        // SAFETY: places lie inside `to`, as was checked, and differ from each other.
        unsafe { launch.launch(blocks(groups, across(width))) }.w()?;
        Ok(())
    }
}

/// Gradient rows of one table: in each, a place for every entry that any of them touched.
#[derive(Debug)]
pub(super) struct DeviceTable {
    device: CudaDevice,
    table: Table,
    /// Place of each of the table's entries.
    place: Vec<u32>,
    /// Entries in the order in which they were touched.
    touched: Vec<u32>,
    rows: Vec<TableRow>,
    /// The places on the device, from the first optimizer step on; absent ones are -1.
    map: Option<CudaSlice<i32>>,
}

/// One gradient row.
#[derive(Debug, Default)]
struct TableRow {
    numbers: Option<CudaSlice<f32>>,
    /// Places that hold something; later ones count as zero.
    filled: usize,
}

impl DeviceTable {
    pub fn new(device: &CudaDevice, table: Table, rows: usize) -> Self {
        let rows = (0..rows).map(|_| TableRow::default()).collect();
        let place = vec![ABSENT; table.entries];
        Self { device: device.clone(), table, place, touched: Vec::new(), rows, map: None }
    }

    /// Where the table lies.
    pub fn table(&self) -> Table {
        self.table
    }

    pub fn clear(&mut self) {
        self.touched.iter().for_each(|&entry| self.place[entry as usize] = ABSENT);
        self.touched.clear();
        self.rows.iter_mut().for_each(|row| row.filled = 0);
    }

    /// Numbers of a row, all places counted.
    pub fn len(&self) -> usize {
        self.touched.len() * self.table.width
    }

    /// Adds the sums of `dy` over groups of tokens to the entries that they have for index.
    pub fn add(&mut self, row: usize, groups: &Groups, dy: &CudaView<'_, f32>) -> Result<()> {
        if let Some(index) = groups.indices.iter().find(|&&index| index as usize >= self.table.entries) {
            candle_core::bail!("index {index} in a table of {} entries", self.table.entries);
        }
        let places: Vec<u32> = groups.indices.iter().map(|&entry| self.take_place(entry)).collect();
        let (device, width) = (self.device.clone(), self.table.width);
        let to = self.filled(row)?;
        groups.add(&device, DeviceGradient::F32(to), &places, dy, width)
    }

    /// Gives entries a place.
    pub fn expect(&mut self, entries: &[u32]) {
        // What lies beyond the table, the forward pass refuses.
        let most = self.table.entries;
        for &entry in entries.iter().filter(|&&entry| (entry as usize) < most) {
            self.take_place(entry);
        }
    }

    fn take_place(&mut self, entry: u32) -> u32 {
        let place = &mut self.place[entry as usize];
        if *place == ABSENT {
            *place = self.touched.len() as u32;
            self.touched.push(entry);
        }
        *place
    }

    /// A row with all places filled, with zeros where nothing was written.
    pub fn filled(&mut self, row: usize) -> Result<CudaViewMut<'_, f32>> {
        let stream = self.device.cuda_stream();
        let (len, width) = (self.len(), self.table.width);
        let row = &mut self.rows[row];
        let held = row.filled * width;
        if row.numbers.as_ref().is_none_or(|numbers| numbers.len() < len) {
            // Half as much again, so that growing ends soon; never more than the table has.
            let room = (len + len / 2).min(self.table.entries * width).max(1);
            // SAFETY: what is read of it was copied or zeroed before.
            let mut grown = unsafe { self.device.alloc::<f32>(room) }?;
            if let Some(numbers) = row.numbers.as_ref().filter(|_| held > 0) {
                stream.memcpy_dtod(&numbers.slice(..held), &mut grown.slice_mut(..held)).w()?;
            }
            row.numbers = Some(grown);
        }
        let numbers = row.numbers.as_mut().expect("just made");
        if held < len {
            stream.memset_zeros(&mut numbers.slice_mut(held..len)).w()?;
        }
        row.filled = self.touched.len();
        Ok(numbers.slice_mut(..len))
    }

    /// Addresses of some rows, which were filled.
    pub fn addresses(&self, rows: &[usize]) -> Result<CudaSlice<u64>> {
        let address = |row: &usize| self.rows[*row].numbers.as_ref().map_or(0, super::address);
        upload(&self.device, &rows.iter().map(address).collect::<Vec<_>>())
    }

    /// Calls `f` with the place of each entry on the device.
    pub fn with_map(&mut self, f: impl FnOnce(&CudaSlice<i32>) -> Result<()>) -> Result<()> {
        let stream = self.device.cuda_stream();
        if self.map.is_none() {
            self.map = Some(stream.clone_htod(&vec![-1i32; self.table.entries]).w()?);
        }
        let map = self.map.as_mut().expect("just made");
        let (touched, count) = (upload(&self.device, &self.touched)?, self.touched.len() as u32);
        let function = kernel(&self.device, File::Rows, "set_places")?;
        let set = |map: &mut CudaSlice<i32>, present: i32| -> Result<()> {
            if count > 0 {
                let mut launch = stream.launch_builder(&function);
                launch.arg(map).arg(&touched).arg(&count).arg(&present);
                // SAFETY: entries lie inside the table, which was checked when they were touched.
                unsafe { launch.launch(blocks((count as usize).div_ceil(256), 256)) }.w()?;
            }
            Ok(())
        };
        set(&mut *map, 1)?;
        f(map)?;
        set(map, 0)
    }

    /// Copies row `row` to the host.
    pub fn fetch(&mut self, row: usize, to: &mut TableRows) -> Result<()> {
        to.clear();
        let width = self.table.width;
        if self.len() > 0 {
            let device = self.device.clone();
            let numbers = device.clone_dtoh(&self.filled(row)?)?;
            let rows = self.touched.iter().zip(numbers.chunks_exact(width.max(1)));
            rows.for_each(|(&entry, numbers)| to.add(entry as usize, numbers));
        }
        Ok(())
    }

    /// Copies row `row` from the host.
    pub fn send(&mut self, row: usize, from: &TableRows) -> Result<()> {
        let width = self.table.width;
        from.touched().iter().for_each(|&entry| {
            self.take_place(entry);
        });
        let mut numbers = vec![0.0; self.len()];
        for &entry in from.touched() {
            let place = self.place[entry as usize] as usize;
            numbers[place * width..][..width].copy_from_slice(from.row(entry as usize).expect("touched"));
        }
        let stream = self.device.cuda_stream();
        if !numbers.is_empty() {
            stream.memcpy_htod(&numbers, &mut self.filled(row)?).w()?;
        }
        Ok(())
    }
}
