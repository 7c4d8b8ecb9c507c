//! Names, nodes, inode numbers and attributes of the mounted tree: the one path table, both ways.
//!
//! Pure: nothing here waits, reads a clock, or knows of HTTP or of the kernel's interface.

mod attributes;
mod inodes;
mod node;

pub use attributes::{Attributes, FileKind, Ownership};
pub use inodes::Inodes;
pub use node::{Node, ROOT_INODE};
