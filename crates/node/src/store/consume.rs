//! Consumers: durable readers of a stream, by name.
//!
//! What must always hold here: a consumer's position moves when what it was given has been dealt with, so that after a crash it is given again: at least once.

use gundb_core::{Clock, Event};
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::store::Edge;
use crate::store::look::Look;
use crate::store::read::page;

/// What a consumer was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whole transactions.
    pub events: Vec<Event>,
    /// Its position, once they have been dealt with.
    pub position: Clock,
    /// Whether there may be more now.
    pub more: bool,
}

impl Edge {
    /// The next events of a consumer, which is made if it is not there, at the beginning of the stream. To be called again after [`Edge::consumed`].
    pub fn consume(&self, consumer: &str, stream: &str, events_max: usize) -> Result<Batch> {
        let id = self.shown().definitions.users_stream(stream)?.id;
        let moment = self.moment()?;
        let position = match moment.consumer(consumer)? {
            None => Clock::new(),
            Some(kept) => {
                let (of, position) = read(&kept)?;
                if of != stream {
                    return Err(Error::new(Kind::Conflict, format!("consumer \"{consumer}\" reads stream \"{of}\""))
                        .hint("Name another consumer for another stream."));
                }
                position
            }
        };
        let page = page(&moment, id, &position, events_max)?;
        Ok(Batch { events: page.events, position: page.after, more: page.more })
    }

    /// What a consumer was given has been dealt with: moves its position.
    pub fn consumed(&self, consumer: &str, stream: &str, position: &Clock) -> Result<()> {
        if consumer.is_empty() || consumer.len() > 255 {
            return Err(Error::new(Kind::Invalid, "a consumer's name has 1 to 255 bytes"));
        }
        let kept = json!({ "stream": stream, "position": position.to_string() }).to_string();
        let consumer = consumer.to_owned();
        self.writer.call(false, move |writing| {
            writing.change();
            writing.tables.consumer.insert(consumer.as_str(), kept.as_bytes())?;
            Ok(())
        })
    }
}

fn read(kept: &[u8]) -> Result<(String, Clock)> {
    let value: Value = serde_json::from_slice(kept).map_err(Error::damaged)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (Some(stream), Some(position)) = (text("stream"), text("position")) else {
        return Err(Error::damaged("a consumer's position"));
    };
    Ok((stream.to_owned(), position.parse().map_err(Error::damaged)?))
}
