//! A run, told: line by line as it goes, or the last lines of one that failed.

use std::collections::VecDeque;

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telling {
    /// Not at all: fastest.
    #[default]
    Nothing,
    /// The last lines are kept.
    Last(usize),
    /// Each line is printed.
    All,
}

/// Who tells it.
#[derive(Debug, Default)]
pub struct Trace {
    telling: Telling,
    last: VecDeque<String>,
}

impl Trace {
    pub fn new(telling: Telling) -> Trace {
        Trace { telling, last: VecDeque::new() }
    }

    /// Tells a step, at this time. The line is made only where somebody listens.
    pub fn tell(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        let line = || format!("{:>8}.{:03} ms  {}", now_us / 1_000, now_us % 1_000, line());
        match self.telling {
            Telling::Nothing => {}
            Telling::All => println!("{}", line()),
            Telling::Last(most) => {
                if self.last.len() >= most {
                    self.last.pop_front();
                }
                self.last.push_back(line());
            }
        }
    }

    /// The lines that were kept.
    pub fn into_last(self) -> Vec<String> {
        self.last.into()
    }
}
