//! Files on disk: written atomically, identified by their hash.

mod atomic;
mod hash;

pub use atomic::write_file;
pub(crate) use atomic::{create_file, parent, remove_partial_files, sync_folder};
pub use hash::{HashingWriter, hash_file, sha256_hex};
