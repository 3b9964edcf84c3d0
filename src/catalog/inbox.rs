//! The inbox: what has come and cannot be applied yet.

use crate::error::{Result, internal};
use crate::scan::to_stored;
use crate::spi::{self, Arg, Mode, Row, arg, as_owner};
use gundb_core::{Run, SiteId, TransactionId};
use pgrx::pg_sys;
use uuid::Uuid;

/// What bundles are kept under: a whole bundle, or all parts of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// Whose session brings them; empty of what was imported.
    pub peer: String,
    /// Who wrote the transaction of parts, or who sent the bundle, in which run.
    pub site: SiteId,
    pub run: Run,
    /// The transaction's first stamp, or the bundle's number.
    pub number: u64,
}

/// In place of a peer, of the parts of transactions that `gundb.staged` lists: no peer has such a name.
const STAGED: &str = "/staged";

impl Letters {
    /// The parts of a transaction that a peer's session brings.
    pub fn of(peer: &str, TransactionId { site, run, xact }: TransactionId) -> Letters {
        Letters { peer: peer.to_owned(), site, run, number: xact.to_bits() }
    }

    /// The parts of a transaction that waits.
    pub fn staged(transaction: TransactionId) -> Letters {
        Letters::of(STAGED, transaction)
    }

    fn args(&self) -> [Arg; 4] {
        [
            arg::text(&self.peer),
            arg::uuid(self.site.0.as_bytes()),
            arg::int8(self.run.number() as i64),
            arg::int8(to_stored(self.number)),
        ]
    }
}

/// A bundle that is kept.
pub struct Letter {
    pub under: Letters,
    /// The place among the parts; None of a whole bundle.
    pub part: Option<u64>,
    pub is_last: bool,
    pub bundle: Vec<u8>,
}

fn part_arg(part: Option<u64>) -> Arg {
    arg::int8(part.map_or(-1, |part| part as i64))
}

/// Keeps a bundle; one that is kept already stays as it is.
pub fn store_letter(letter: &Letter) -> Result<()> {
    let mut args = letter.under.args().to_vec();
    args.push(part_arg(letter.part));
    args.push(arg::bool(letter.is_last));
    args.push(arg::of(pg_sys::BYTEAOID, Some(spi::varlena(&letter.bundle))));
    change(
        "INSERT INTO gundb.inbox (peer, site, run, number, part, is_last, bundle)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        &args,
    )
}

/// A bundle that is kept.
pub fn letter(under: &Letters, part: Option<u64>) -> Result<Option<Letter>> {
    let mut args = under.args().to_vec();
    args.push(part_arg(part));
    let letter = |row: Row| {
        let (is_last, bundle) = row.bool(1).zip(row.bytes(2)).ok_or_else(damaged)?;
        Ok(Letter { under: under.clone(), part, is_last, bundle })
    };
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT is_last, bundle FROM gundb.inbox
                      WHERE peer = $1 AND site = $2 AND run = $3 AND number = $4 AND part = $5",
                    &args,
                    Mode::Read,
                    0,
                )?;
                rows.first().map(letter).transpose()
            })
        })
    })
}

fn damaged() -> crate::error::Failure {
    internal("gundb.inbox holds a damaged row")
}

/// What is kept together.
pub struct Kept {
    pub under: Letters,
    /// The first part that is there; None of a whole bundle.
    pub first: Option<u64>,
    /// Whether nothing is missing.
    pub is_whole: bool,
}

/// What is kept of a peer, in the order in which it was sent.
pub fn letters_of(peer: &str) -> Result<Vec<Kept>> {
    let kept = |row: Row| -> Result<Kept> {
        let under = Letters {
            peer: peer.to_owned(),
            site: SiteId(Uuid::from_bytes(row.uuid(1).ok_or_else(damaged)?)),
            run: row.int8(2).and_then(|run| Run::new(run as u64)).ok_or_else(damaged)?,
            number: row.int8(3).ok_or_else(damaged)? as u64 ^ (1 << 63),
        };
        let first = u64::try_from(row.int8(4).ok_or_else(damaged)?).ok();
        Ok(Kept { under, first, is_whole: row.bool(5).ok_or_else(damaged)? })
    };
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let rows = spi.run(
                    "SELECT site, run, number, min(part),
                            coalesce(min(part) < 0 OR max(part) = count(*) - 1
                                     AND max(part) = min(part) FILTER (WHERE is_last), false)
                       FROM gundb.inbox WHERE peer = $1 GROUP BY site, run, number ORDER BY site, run, number",
                    &[arg::text(peer)],
                    Mode::Read,
                    0,
                )?;
                rows.iter().map(kept).collect()
            })
        })
    })
}

/// How many are kept together.
pub fn count_letters(under: &Letters) -> Result<u64> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = "SELECT count(*) FROM gundb.inbox
                                  WHERE peer = $1 AND site = $2 AND run = $3 AND number = $4";
                let rows = spi.run(statement, &under.args(), Mode::Read, 0)?;
                Ok(rows.first().and_then(|row| row.int8(1)).unwrap_or(0) as u64)
            })
        })
    })
}

/// Keeps the parts of a transaction as those of one that waits.
pub fn stage_letters(under: &Letters, transaction: TransactionId) -> Result<()> {
    let staged = Letters::staged(transaction);
    change(
        "UPDATE gundb.inbox SET peer = $5, site = $6, run = $7, number = $8
          WHERE peer = $1 AND site = $2 AND run = $3 AND number = $4",
        &[under.args(), staged.args()].concat(),
    )
}

/// Forgets what was kept together.
pub fn forget_letters(under: &Letters) -> Result<()> {
    change("DELETE FROM gundb.inbox WHERE peer = $1 AND site = $2 AND run = $3 AND number = $4", &under.args())
}

/// Forgets all that is kept of a peer.
pub fn forget_letters_of(peer: &str) -> Result<()> {
    change("DELETE FROM gundb.inbox WHERE peer = $1", &[arg::text(peer)])
}

/// Forgets the parts of all transactions that wait.
pub fn forget_staged_letters() -> Result<()> {
    forget_letters_of(STAGED)
}

fn change(statement: &str, args: &[Arg]) -> Result<()> {
    as_owner(|| spi::connect(|spi| spi.run(statement, args, Mode::Write, 0).map(drop)))
}

/// Whether anything is kept of a peer.
pub fn has_letters(peer: &str) -> Result<bool> {
    as_owner(|| {
        spi::with_latest_snapshot(|| {
            spi::connect(|spi| {
                let statement = "SELECT FROM gundb.inbox WHERE peer = $1 LIMIT 1";
                Ok(!spi.run(statement, &[arg::text(peer)], Mode::Read, 1)?.is_empty())
            })
        })
    })
}
