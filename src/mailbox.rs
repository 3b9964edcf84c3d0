//! What backends leave for the worker in shared memory: a few short messages, of which the oldest gives way.
//!
//! Must hold: plain data without pointers, of a fixed size; nothing here allocates while a message is left.

/// Up to `N` messages.
#[derive(Clone, Copy)]
pub struct Mailbox<T, const N: usize> {
    items: [Option<T>; N],
}

// SAFETY: plain data without pointers into one process; always behind a spinlock.
unsafe impl<T: Copy, const N: usize> pgrx::PGRXSharedMemory for Mailbox<T, N> {}

impl<T: Copy, const N: usize> Mailbox<T, N> {
    /// Without messages.
    pub const EMPTY: Mailbox<T, N> = Mailbox { items: [None; N] };

    /// Leaves a message.
    pub fn put(&mut self, item: T) {
        if self.items.last().is_some_and(Option::is_some) {
            self.items.copy_within(1.., 0);
            self.items[N - 1] = Some(item);
        } else if let Some(free) = self.items.iter_mut().find(|place| place.is_none()) {
            *free = Some(item);
        }
    }

    /// Takes all messages out.
    pub fn take(&mut self) -> Mailbox<T, N> {
        core::mem::replace(self, Mailbox::EMPTY)
    }

    /// The messages, the oldest first.
    pub fn into_iter(self) -> impl Iterator<Item = T> {
        self.items.into_iter().flatten()
    }
}

/// A text of at most `N` bytes; a longer one is cut.
#[derive(Clone, Copy)]
pub struct ShortText<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> ShortText<N> {
    pub fn of(text: &str) -> ShortText<N> {
        let length = text.floor_char_boundary(N);
        let mut bytes = [0; N];
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        ShortText { bytes, length }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.length]).into_owned()
    }
}
