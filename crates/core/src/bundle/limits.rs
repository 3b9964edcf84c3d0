//! How much a message may hold.

/// What is checked before anything is made of a message: a longer or more numerous one is an error, whatever it says.
///
/// What decoding allocates is bounded by these, whatever the bytes are. With the default limits that is
///
/// - the message before compression, once: 72 MiB, and as much again for the texts of its events;
/// - its columns, of 22 entries for an event at most, each 8 bytes and three times that while it is read: 50 MiB;
/// - 216 bytes for an event, 56 for a transaction, and a type for each event: 26 MiB, and 25 MiB of the longest types;
/// - about 200 bytes for an entry of a clock while it is read: 190 MiB, of a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of a message before compression.
    pub bytes_max: u64,
    /// Transactions of a bundle.
    pub transactions_max: u64,
    /// Events of a bundle, of all its transactions.
    pub events_max: u64,
    /// Bytes of an event's key, data and meta together.
    pub event_bytes_max: u64,
    /// Bytes of an event's type.
    pub kind_bytes_max: u64,
    /// Sites, streams, runs, lanes, types, and epochs of a bundle: of each.
    pub entries_max: u64,
    /// Entries of all clocks of a message together.
    pub clock_entries_max: u64,
    /// Patterns of all filters of a hello together.
    pub patterns_max: u64,
    /// Sites in a hello, and ways to them, together.
    pub ways_max: u64,
    /// Refused events of a receipt.
    pub refusals_max: u64,
    /// Bytes of a text that is to be read by people: a name, a reason.
    pub text_bytes_max: u64,
}

impl WireLimits {
    /// Limits for events of at most so many bytes: a bundle that holds one such event is let through.
    pub const fn for_events_of(event_bytes_max: u64) -> WireLimits {
        WireLimits {
            // Room for the clocks, and the tables, of a bundle with one event.
            bytes_max: event_bytes_max.saturating_add(8 << 20),
            transactions_max: 100_000,
            events_max: 100_000,
            event_bytes_max,
            kind_bytes_max: 255,
            entries_max: 100_000,
            clock_entries_max: 1_000_000,
            patterns_max: 100_000,
            ways_max: 20_000,
            refusals_max: 100_000,
            text_bytes_max: 1_000,
        }
    }
}

impl Default for WireLimits {
    /// For events as large as `gundb.max_event_size` lets them be by default: 64 MB.
    fn default() -> WireLimits {
        WireLimits::for_events_of(64 << 20)
    }
}
