//! With the feature `cuda`: compiles the kernels beside their Rust files, every `.cu` under `src/`, and embeds them.
//!
//! Each becomes one fat binary: machine code for compute capability 7.5, 8.0 and 9.0, and PTX for newer cards. nvcc is the one
//! named by `NVCC`, or in `bin` of `CUDA_HOME` or `CUDA_PATH`, or on the `PATH`. `MTL_ZOO_CUDA_ARCHITECTURES` names other
//! capabilities, such as `86,120`; with `none` nothing is compiled, which is enough for the emulator of tests/cuda_emulator.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "MTL_ZOO_CUDA_ARCHITECTURES"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=src");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut sources = Vec::new();
    find(Path::new("src"), &mut sources);
    sources.sort();
    let nvcc = nvcc();
    println!("cargo:rustc-env=MTL_ZOO_CUDA_MAJOR={}", major(&nvcc).unwrap_or(13));
    let architectures = env::var("MTL_ZOO_CUDA_ARCHITECTURES").unwrap_or_else(|_| "75,80,90".into());
    let oldest = architectures.split(',').filter_map(|one| one.trim().parse::<u32>().ok()).min();
    println!("cargo:rustc-env=MTL_ZOO_CUDA_OLDEST={}", oldest.unwrap_or(0));
    if architectures == "none" {
        let entry = |source: &PathBuf| format!("    ({:?}, b\"none\"),\n", name_of(source));
        let table: String = sources.iter().map(entry).collect();
        fs::write(out.join("kernels.rs"), format!("&[\n{table}]\n")).expect("OUT_DIR can be written");
        return;
    }
    let headers = newest(Path::new("src"));
    let mut table = String::from("&[\n");
    let mut running = Vec::new();
    for source in &sources {
        let name = name_of(source);
        let binary = out.join(&name).with_extension(format!("{}.fatbin", architectures.replace(',', "-")));
        table += &format!("    ({name:?}, include_bytes!({:?})),\n", binary.display().to_string());
        if modified(&binary).is_some_and(|built| modified(source) < Some(built) && headers < Some(built)) {
            continue;
        }
        fs::create_dir_all(binary.parent().expect("it is in a folder")).expect("OUT_DIR can be written");
        running.push((source, binary.clone(), compile(&nvcc, &architectures, source, &binary)));
        if running.len() >= 2 {
            running.drain(..).for_each(finish);
        }
    }
    running.into_iter().for_each(finish);
    table += "]\n";
    fs::write(out.join("kernels.rs"), table).expect("OUT_DIR can be written");
}

/// A file's path under `src`, without extension.
fn name_of(source: &Path) -> String {
    let name = source.strip_prefix("src").expect("found there").with_extension("");
    name.to_str().expect("names are ASCII").to_owned()
}

fn find(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is a folder") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            find(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path);
        }
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// When a header was last changed.
fn newest(folder: &Path) -> Option<std::time::SystemTime> {
    let entries = fs::read_dir(folder).expect("src is a folder").map(|entry| entry.expect("src can be read").path());
    let time = |path: PathBuf| match path.is_dir() {
        true => newest(&path),
        false => path.extension().is_some_and(|extension| extension == "cuh").then(|| modified(&path)).flatten(),
    };
    entries.filter_map(time).max()
}

fn nvcc() -> PathBuf {
    let home = |variable| env::var_os(variable).map(|home| Path::new(&home).join("bin/nvcc"));
    let named = env::var_os("NVCC").map(PathBuf::from);
    let places =
        [named, home("CUDA_HOME"), home("CUDA_PATH"), Some("nvcc".into()), Some("/usr/local/cuda/bin/nvcc".into())];
    let runs =
        |nvcc: &PathBuf| Command::new(nvcc).arg("--version").output().is_ok_and(|output| output.status.success());
    places.into_iter().flatten().find(runs).unwrap_or_else(|| {
        fail(
            "the feature `cuda` needs nvcc, the compiler of the CUDA toolkit, and there is none: set CUDA_HOME to the toolkit's \
             folder or NVCC to the compiler, or build without `--features cuda`",
        )
    })
}

/// The toolkit's major version: a driver of that version or a newer one takes what it compiles.
fn major(nvcc: &Path) -> Option<u32> {
    let output = Command::new(nvcc).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("release ").nth(1)?.split('.').next()?.trim().parse().ok()
}

fn compile(nvcc: &Path, architectures: &str, source: &Path, binary: &Path) -> std::process::Child {
    let mut command = Command::new(nvcc);
    command.args(["-fatbin", "-std=c++17", "-O3", "-Xcompiler=-fPIC", "-I", "src", "-o"]).arg(binary).arg(source);
    let architectures: Vec<&str> = architectures.split(',').map(str::trim).collect();
    for (index, architecture) in architectures.iter().enumerate() {
        let ptx = if index + 1 == architectures.len() { format!(",compute_{architecture}") } else { String::new() };
        command.arg("-gencode").arg(format!("arch=compute_{architecture},code=[sm_{architecture}{ptx}]"));
    }
    command.spawn().unwrap_or_else(|error| fail(&format!("{} cannot be started: {error}", nvcc.display())))
}

fn finish((source, binary, mut child): (&PathBuf, PathBuf, std::process::Child)) {
    if !child.wait().is_ok_and(|status| status.success()) {
        // What is half written must not pass for compiled.
        let _ = fs::remove_file(binary);
        fail(&format!("nvcc could not compile {}: see above", source.display()));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
