//! Files on disk: written atomically, identified by their hash.

mod atomic;
mod cache;
mod hash;

#[cfg(feature = "train")]
pub(crate) use atomic::remove_partial_files;
pub use atomic::write_file;
pub(crate) use atomic::{create_file, parent, sync_folder};
pub use cache::cache_folder;
pub use hash::{HashingWriter, hash_file, sha256_hex};
