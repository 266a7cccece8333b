//! Products of bf16 with sums in f32 on the tile registers of AMX (Intel's Software Developer's Manual, volume 1, chapter 18).
//!
//! A tile has 16 rows of 64 bytes. Four tiles of sums, two by two, take two tiles of the left operand and two of the right one at
//! a time. The right operand lies in panels of [`COLUMNS`] columns, `[panel][word of depth][column]`; the left one is read
//! where it is, or in tiles. The standard library's intrinsics are unstable, hence assembly.

use super::avx512::Out;
use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::LazyLock;

/// Rows of a tile, and numbers of f32 or words in one of its rows.
pub const TILE: usize = 16;
/// Columns of a panel of the right operand: two tiles.
pub const COLUMNS: usize = 2 * TILE;
/// Panels and words of depth of the right operand that stay in a core's own cache while the left one's rows go by: with few rows
/// sums that go to memory and back cost more.
const PANELS: usize = 12;
const DEPTH: usize = 256;
const DEPTH_OF_FEW_ROWS: usize = 1024;
const FEW_ROWS: usize = 64;

/// Whether processor and system have the instructions, and neither `MTL_ZOO_PORTABLE` nor `MTL_ZOO_AVX512` is set. Asks the
/// system for the use of tile registers, once.
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        std::env::var_os("MTL_ZOO_AVX512").is_none()
            && super::avx512::available()
            && processor_has_tiles()
            && permitted()
    });
    *AVAILABLE
}

/// AMX-TILE and AMX-BF16, and a system that saves tile registers between threads.
fn processor_has_tiles() -> bool {
    #[target_feature(enable = "xsave")]
    fn saved_by_system() -> bool {
        const TILES: u64 = 0b11 << 17;
        // SAFETY: the function has the instruction's feature.
        unsafe { _xgetbv(0) & TILES == TILES }
    }
    const OSXSAVE: u32 = 1 << 27;
    const TILE_AND_BF16: u32 = 1 << 24 | 1 << 22;
    // Leaf 7 is there: AVX-512 is.
    let [basic, extended] = [__cpuid(1), __cpuid_count(7, 0)];
    // SAFETY: the system uses XSAVE, so the processor has it.
    basic.ecx & OSXSAVE != 0 && extended.edx & TILE_AND_BF16 == TILE_AND_BF16 && unsafe { saved_by_system() }
}

/// Asks Linux for the tile registers, for all threads of this process.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call takes two numbers and touches no memory of ours; `syscall` changes no other registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// This thread's tile registers, configured until the last of these is dropped. Configuring takes as long as a small product.
pub struct Tiles(PhantomData<*const ()>);

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// What `LDTILECFG` reads: all eight tiles whole.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE_TILES: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (4 * TILE as u16, TILE as u8);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

impl Tiles {
    /// Configures this thread's tile registers, unless they are.
    ///
    /// # Safety
    /// The instructions must be there ([`available`]).
    pub unsafe fn hold() -> Self {
        let held = HELD.get();
        if held == 0 {
            // SAFETY: the instructions are there, and the configuration is valid. Nothing else uses tile registers.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &WHOLE_TILES, options(nostack, readonly, preserves_flags)) };
        }
        HELD.set(held + 1);
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        let held = HELD.get() - 1;
        HELD.set(held);
        if held == 0 {
            // SAFETY: tiles were configured, so the instructions are there. A thread without tiles has less to save when it
            // is interrupted.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }
}

/// The left operand's words: those of row `i` and 16 words of depth from `16 s` on are at
/// `words + i / 16 * panel + i % 16 * row + s * step`; all in words. Rows to a multiple of 16 must be readable.
#[derive(Clone, Copy)]
pub struct Left {
    pub words: *const u32,
    pub panel: usize,
    pub row: usize,
    pub step: usize,
}

/// `out[rows, columns] (+)= left[rows, depth] · right[depth, columns]`, `depth` in words, a multiple of 16.
///
/// # Safety
/// The instructions must be there ([`available`]); every word and number that the shape names must be inside its
/// allocation, columns of the right operand to a multiple of 16; nobody else may use the result meanwhile.
#[target_feature(enable = "avx512f")]
pub unsafe fn multiply(shape: (usize, usize, usize), left: Left, right: *const u32, out: Out) {
    let (rows, columns, depth) = shape;
    // SAFETY: the instructions are there.
    let _tiles = unsafe { Tiles::hold() };
    let most = if rows <= FEW_ROWS { DEPTH_OF_FEW_ROWS } else { DEPTH };
    for group in (0..columns).step_by(PANELS * COLUMNS) {
        let mut first = 0;
        loop {
            let now = (depth - first).min(most);
            for row in (0..rows).step_by(2 * TILE) {
                for column in (group..columns.min(group + PANELS * COLUMNS)).step_by(COLUMNS) {
                    // SAFETY: row, column and depth lie inside the shape.
                    unsafe {
                        let words = left.words.add(row / TILE * left.panel + first / TILE * left.step);
                        let right = right.add(column * depth + first * COLUMNS);
                        let numbers = out.numbers.add(row * out.width + column);
                        let out = Out { numbers, keep: out.keep || first > 0, ..out };
                        let used = ((rows - row).min(2 * TILE), (columns - column).min(COLUMNS));
                        edge(used, now / TILE, Left { words, ..left }, right, out);
                    }
                }
            }
            first += now;
            if first >= depth {
                break;
            }
        }
    }
}

/// At most two by two tiles of the result, of which `used` rows and columns are written.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn edge(used: (usize, usize), steps: usize, left: Left, right: *const u32, out: Out) {
    let (rows, columns) = used;
    // SAFETY: whole tiles lie inside the shape; others go by way of a block of their own.
    unsafe {
        if rows.is_multiple_of(TILE) && columns.is_multiple_of(TILE) {
            return block(rows > TILE, columns > TILE, steps, left, right, out);
        }
        #[repr(align(64))]
        struct Whole(MaybeUninit<[f32; 4 * TILE * TILE]>);
        let mut whole = Whole(MaybeUninit::uninit());
        let numbers = whole.0.as_mut_ptr().cast::<f32>();
        block(rows > TILE, columns > TILE, steps, left, right, Out { numbers, width: 2 * TILE, keep: false });
        for row in 0..rows {
            for column in (0..columns).step_by(TILE) {
                let mask = ((1u32 << (columns - column).min(TILE)) - 1) as u16;
                let at = out.numbers.add(row * out.width + column);
                let mut sums = _mm512_load_ps(numbers.add(row * 2 * TILE + column));
                if out.keep {
                    sums = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), sums);
                }
                _mm512_mask_storeu_ps(at, mask, sums);
            }
        }
    }
}

/// Sums of `$step` over the depth, in registers from the first step to the last.
macro_rules! sums {
    ($steps:expr, $left:expr, $right:expr, $out:expr, $zero:tt, $load:tt, $step:tt, $store:tt) => {
        asm!(
            // The second row of tiles.
            "mov {c1}, {width}",
            "shl {c1}, 4",
            "add {c1}, {c0}",
            "test {keep:e}, {keep:e}",
            "jnz 3f",
            sums!(@lines $zero),
            "jmp 4f",
            "3:",
            sums!(@lines $load),
            "4:",
            "test {steps}, {steps}",
            "jz 5f",
            "2:",
            sums!(@lines $step),
            "add {a0}, {step}",
            "add {a1}, {step}",
            "add {b}, 2048",
            "dec {steps}",
            "jnz 2b",
            "5:",
            sums!(@lines $store),
            keep = in(reg) u32::from($out.keep),
            steps = inout(reg) $steps => _,
            a0 = inout(reg) $left.words => _,
            a1 = inout(reg) $left.words.wrapping_add($left.panel) => _,
            row = in(reg) 4 * $left.row,
            step = in(reg) 4 * $left.step,
            b = inout(reg) $right => _,
            width = in(reg) 4 * $out.width,
            c0 = in(reg) $out.numbers,
            c1 = out(reg) _,
            panel = in(reg) 4 * COLUMNS,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
    (@lines [$($line:literal),*]) => { concat!($($line, "\n"),*) };
}

/// One or two tiles down, one or two across.
#[inline(always)]
unsafe fn block(down: bool, across: bool, steps: usize, left: Left, right: *const u32, out: Out) {
    // SAFETY: tiles are configured, and all that they reach lies inside the shape.
    unsafe {
        match (down, across) {
            (true, true) => sums!(
                steps,
                left,
                right,
                out,
                ["tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7"],
                [
                    "tileloadd tmm4, [{c0} + {width}]",
                    "tileloadd tmm5, [{c0} + {width} + 64]",
                    "tileloadd tmm6, [{c1} + {width}]",
                    "tileloadd tmm7, [{c1} + {width} + 64]"
                ],
                [
                    "tileloadd tmm0, [{a0} + {row}]",
                    "tileloadd tmm2, [{b} + {panel}]",
                    "tileloadd tmm3, [{b} + {panel} + 64]",
                    "tdpbf16ps tmm4, tmm0, tmm2",
                    "tdpbf16ps tmm5, tmm0, tmm3",
                    "tileloadd tmm1, [{a1} + {row}]",
                    "tdpbf16ps tmm6, tmm1, tmm2",
                    "tdpbf16ps tmm7, tmm1, tmm3"
                ],
                [
                    "tilestored [{c0} + {width}], tmm4",
                    "tilestored [{c0} + {width} + 64], tmm5",
                    "tilestored [{c1} + {width}], tmm6",
                    "tilestored [{c1} + {width} + 64], tmm7"
                ]
            ),
            (false, true) => sums!(
                steps,
                left,
                right,
                out,
                ["tilezero tmm4", "tilezero tmm5"],
                ["tileloadd tmm4, [{c0} + {width}]", "tileloadd tmm5, [{c0} + {width} + 64]"],
                [
                    "tileloadd tmm0, [{a0} + {row}]",
                    "tileloadd tmm2, [{b} + {panel}]",
                    "tdpbf16ps tmm4, tmm0, tmm2",
                    "tileloadd tmm3, [{b} + {panel} + 64]",
                    "tdpbf16ps tmm5, tmm0, tmm3"
                ],
                ["tilestored [{c0} + {width}], tmm4", "tilestored [{c0} + {width} + 64], tmm5"]
            ),
            (true, false) => sums!(
                steps,
                left,
                right,
                out,
                ["tilezero tmm4", "tilezero tmm6"],
                ["tileloadd tmm4, [{c0} + {width}]", "tileloadd tmm6, [{c1} + {width}]"],
                [
                    "tileloadd tmm2, [{b} + {panel}]",
                    "tileloadd tmm0, [{a0} + {row}]",
                    "tdpbf16ps tmm4, tmm0, tmm2",
                    "tileloadd tmm1, [{a1} + {row}]",
                    "tdpbf16ps tmm6, tmm1, tmm2"
                ],
                ["tilestored [{c0} + {width}], tmm4", "tilestored [{c1} + {width}], tmm6"]
            ),
            (false, false) => sums!(
                steps,
                left,
                right,
                out,
                ["tilezero tmm4"],
                ["tileloadd tmm4, [{c0} + {width}]"],
                ["tileloadd tmm0, [{a0} + {row}]", "tileloadd tmm2, [{b} + {panel}]", "tdpbf16ps tmm4, tmm0, tmm2"],
                ["tilestored [{c0} + {width}], tmm4"]
            ),
        }
    }
}
