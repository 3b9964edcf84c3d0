//! What two sites that compare ask and answer, as bytes.

use prost::Message;

use crate::bundle::decode::read;
use crate::bundle::fields::{self, Clocks, bytes_of};
use crate::bundle::frame::{Frame, Kind, seal};
use crate::bundle::scan::{self, scan};
use crate::bundle::{WireError, WireLimits, proto};
use crate::compare::{Answer, HeldDigest, Inventory, Question, ViewDefinition};

/// Clocks of many lanes are worth compressing.
const LEVEL: i32 = 1;

/// A question as bytes.
pub fn encode_question(question: &Question) -> Vec<u8> {
    let clocks = match question {
        Question::Inventory => Vec::new(),
        Question::Digests(clocks) => clocks.iter().map(|clock| clock.encode().into()).collect(),
    };
    seal(Kind::Question, &proto::Question { clocks }.encode_to_vec(), LEVEL)
}

/// Reads [`encode_question`] back.
pub fn decode_question(bytes: &[u8], limits: &WireLimits) -> Result<Question, WireError> {
    let message = Frame::read(bytes)?.open(Kind::Question, limits)?;
    scan(&message, scan::QUESTION, limits)?;
    let message = read::<proto::Question>(message)?;
    if message.clocks.is_empty() {
        return Ok(Question::Inventory);
    }
    let mut clocks = Clocks::new(limits);
    Ok(Question::Digests(message.clocks.iter().map(|clock| clocks.read("clocks", clock)).collect::<Result<_, _>>()?))
}

/// An answer as bytes.
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    let answer = match answer {
        Answer::Inventory(inventory) => proto::answer::Answer::Inventory(proto::Inventory {
            clock: inventory.clock.encode().into(),
            streams: inventory
                .streams
                .iter()
                .map(|(name, exchanged)| proto::InventoryStream { name: name.clone(), exchanged: *exchanged })
                .collect(),
            views: inventory.views.iter().map(|(name, view)| view_message(name, view)).collect(),
        }),
        Answer::Digests(digests) => {
            let bytes = |held: &HeldDigest| held.map_or_else(Vec::new, |digest| digest.to_vec()).into();
            proto::answer::Answer::Digests(proto::Digests { digests: digests.iter().map(bytes).collect() })
        }
    };
    seal(Kind::Answer, &proto::Answer { answer: Some(answer) }.encode_to_vec(), LEVEL)
}

fn view_message(name: &str, view: &ViewDefinition) -> proto::InventoryView {
    let definition = view.digest.to_vec().into();
    proto::InventoryView { name: name.to_owned(), stream: view.stream.clone(), definition }
}

/// Reads [`encode_answer`] back.
pub fn decode_answer(bytes: &[u8], limits: &WireLimits) -> Result<Answer, WireError> {
    let message = Frame::read(bytes)?.open(Kind::Answer, limits)?;
    scan(&message, scan::ANSWER, limits)?;
    match read::<proto::Answer>(message)?.answer {
        None => Err(WireError::malformed("answer", "is missing")),
        Some(proto::answer::Answer::Inventory(inventory)) => {
            let clock = Clocks::new(limits).read("inventory.clock", &inventory.clock)?;
            let stream = |stream: proto::InventoryStream| {
                Ok((fields::text("inventory.streams.name", stream.name, limits)?, stream.exchanged))
            };
            let view = |view: proto::InventoryView| {
                let stream = fields::text("inventory.views.stream", view.stream, limits)?;
                let digest = bytes_of("inventory.views.definition", &view.definition)?;
                Ok((fields::text("inventory.views.name", view.name, limits)?, ViewDefinition { stream, digest }))
            };
            Ok(Answer::Inventory(Inventory {
                clock,
                streams: inventory.streams.into_iter().map(stream).collect::<Result<_, WireError>>()?,
                views: inventory.views.into_iter().map(view).collect::<Result<_, WireError>>()?,
            }))
        }
        Some(proto::answer::Answer::Digests(digests)) => {
            let held = |bytes: &prost::bytes::Bytes| {
                if bytes.is_empty() { Ok(None) } else { bytes_of("digests.digests", bytes).map(Some) }
            };
            Ok(Answer::Digests(digests.digests.iter().map(held).collect::<Result<_, WireError>>()?))
        }
    }
}
