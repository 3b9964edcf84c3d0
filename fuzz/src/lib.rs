//! An edge node in memory, for targets that need one.

use gundb_node::view::Definition;
use gundb_node::{Edge, New, Options};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many inputs meet one node, and then another one.
pub const KEPT: u32 = 2_000;

/// A file in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// What it says.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let found = bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.bytes().resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes();
        let end = offset as usize + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(data);
        Ok(())
    }
}

/// A node without anything in it.
pub fn empty() -> Edge {
    Edge::on(Memory::default(), Options::default()).unwrap()
}

/// A node with a stream, a view, an event type with a schema, and a few events.
pub fn edge() -> Edge {
    edge_on(Memory::default())
}

/// The same in this file.
pub fn edge_on(memory: Memory) -> Edge {
    let edge = Edge::on(memory, Options::default()).unwrap();
    edge.name_site("fuzz").unwrap();
    edge.create_stream("s", false).unwrap();
    edge.define_event("s", "A", Some(r#"{"properties": {"n": {"type": "number"}}}"#)).unwrap();
    let columns = r#"{"n": {"fold": "sum", "value": "n"}, "last": {"fold": "lww", "value": "n"}}"#;
    let view = Definition { stream: "s".into(), key: "@key".into(), columns: columns.into(), ..Definition::default() };
    edge.create_view("v", view).unwrap();
    for n in 0..20 {
        let (key, data) = (Some(format!("k{}", n % 3)), format!("{{\"n\": {n}}}"));
        edge.append_one(New { stream: "s".into(), kind: "A".into(), key, data, ..New::default() }).unwrap();
    }
    edge
}
