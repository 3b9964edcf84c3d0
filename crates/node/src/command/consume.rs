//! `gundb consume`

use crate::command::{Context, read};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Consume {
    stream: String,
    /// The consumer's name; one that is not there begins at the stream's beginning
    consumer: String,
    /// At most so many events, but at least one transaction
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    limit: usize,
    /// Only show: the consumer's position stays
    #[arg(long)]
    peek: bool,
}

impl Consume {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.site()?;
        let mut is_empty = true;
        let next = site.consume(&self.consumer, &self.stream, self.limit, &mut |event| {
            is_empty = false;
            read::tell(context, site.as_ref(), &event)
        })?;
        // Only what has been written out has been dealt with.
        context.out.flush()?;
        if !self.peek && !is_empty {
            site.consumed(&self.consumer, &self.stream, &next)?;
        }
        site.close()
    }
}
