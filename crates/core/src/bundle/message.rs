//! Hellos and receipts as bytes.

use prost::Message;

use crate::bundle::decode::read;
use crate::bundle::fields::{self, Clocks, bytes_of};
use crate::bundle::frame::{Frame, Kind, seal};
use crate::bundle::scan::{self, scan};
use crate::bundle::ways::{accept, filter, tell_accept, tell_words, words};
use crate::bundle::{WireError, WireLimits, proto};
use crate::id::Dot;
use crate::sync::message::{Hello, Outcome, Receipt, Refused};

/// Longer reasons and names are cut to so many bytes when they are written.
const TEXT_BYTES_MAX: usize = 1_000;

/// Clocks of many lanes are worth compressing; all else is short.
const LEVEL: i32 = 1;

/// A hello as bytes.
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    let (protocol_min, protocol_max) = hello.protocol;
    let message = proto::Hello {
        protocol_min,
        protocol_max,
        software: cut(&hello.software),
        site: hello.site.0.into_bytes().to_vec().into(),
        run: hello.run.number(),
        name: cut(&hello.name),
        push: hello.push.patterns().collect(),
        pull: hello.pull.patterns().collect(),
        ways: tell_words(&hello.ways),
        accept: tell_accept(hello.accept).into(),
        clock: hello.clock.encode().into(),
        bundle_bytes_max: hello.bundle_bytes_max,
        now_ms: hello.now_ms,
    };
    seal(Kind::Hello, &message.encode_to_vec(), LEVEL)
}

/// Reads [`encode_hello`] back.
pub fn decode_hello(bytes: &[u8], limits: &WireLimits) -> Result<Hello, WireError> {
    let message = Frame::read(bytes)?.open(Kind::Hello, limits)?;
    scan(&message, scan::HELLO, limits)?;
    let message = read::<proto::Hello>(message)?;
    if message.protocol_min > message.protocol_max {
        return Err(WireError::malformed("protocol_min", "is greater than protocol_max"));
    }
    Ok(Hello {
        protocol: (message.protocol_min, message.protocol_max),
        software: fields::text("software", message.software, limits)?,
        site: fields::site("site", &message.site)?,
        run: fields::run("run", message.run)?,
        name: fields::text("name", message.name, limits)?,
        push: filter("push", &message.push)?,
        pull: filter("pull", &message.pull)?,
        ways: words(&message.ways)?,
        accept: accept("accept", message.accept)?,
        clock: Clocks::new(limits).read("clock", &message.clock)?,
        bundle_bytes_max: message.bundle_bytes_max,
        now_ms: message.now_ms,
    })
}

/// A receipt as bytes.
pub fn encode_receipt(receipt: &Receipt) -> Vec<u8> {
    let refused = |refused: &Refused| proto::Refused {
        dot: refused.dot.to_bytes().to_vec().into(),
        reason: cut(&refused.reason),
    };
    let message = proto::Receipt {
        number: receipt.number,
        outcome: Some(match &receipt.outcome {
            Outcome::Taken => proto::receipt::Outcome::Taken(proto::Taken {}),
            Outcome::Again(clock) => proto::receipt::Outcome::Again(clock.encode().into()),
            Outcome::Early(clock) => proto::receipt::Outcome::Early(clock.encode().into()),
        }),
        refusals: receipt.refusals.iter().map(refused).collect(),
        holds: receipt.holds.encode().into(),
    };
    seal(Kind::Receipt, &message.encode_to_vec(), LEVEL)
}

/// Reads [`encode_receipt`] back.
pub fn decode_receipt(bytes: &[u8], limits: &WireLimits) -> Result<Receipt, WireError> {
    let message = Frame::read(bytes)?.open(Kind::Receipt, limits)?;
    scan(&message, scan::RECEIPT, limits)?;
    let message = read::<proto::Receipt>(message)?;
    let mut clocks = Clocks::new(limits);
    let refused = |(at, refused): (usize, proto::Refused)| {
        let dot = Dot::from_bytes(&bytes_of::<{ Dot::BYTES }>("refusals.dot", &refused.dot)?)
            .map_err(|_| WireError::entry("refusals.dot", at, "is no dot"))?;
        Ok(Refused { dot, reason: fields::text("refusals.reason", refused.reason, limits)? })
    };
    Ok(Receipt {
        number: message.number,
        outcome: match message.outcome {
            None => return Err(WireError::malformed("outcome", "is missing")),
            Some(proto::receipt::Outcome::Taken(_)) => Outcome::Taken,
            Some(proto::receipt::Outcome::Again(clock)) => Outcome::Again(clocks.read("again", &clock)?),
            Some(proto::receipt::Outcome::Early(clock)) => Outcome::Early(clocks.read("early", &clock)?),
        },
        refusals: message.refusals.into_iter().enumerate().map(refused).collect::<Result<_, WireError>>()?,
        holds: clocks.read("holds", &message.holds)?,
    })
}

/// A text for people, no longer than a reader takes.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().replace('\0', "")
}
