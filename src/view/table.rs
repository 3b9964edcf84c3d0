//! A view as a backend knows it: read with its stream, forgotten when the stream's table changes.
//!
//! Must hold: what was found out of a view's table is believed only while the table is locked against those who change it,
//! and no change was told since ([`ViewTable::hold`]). A row written as if an index were not there would be missing in it.

use crate::catalog::{self, RowStatements, ViewRecord};
use crate::error::{Error, Result, internal, state};
use crate::view::direct::Layout;
use crate::view::replay;
use gundb_core::fold::{FoldValue, RowState, Shape};
use gundb_core::view::{Column, Columns, Filter, Key, View};
use pgrx::pg_sys::{self, Oid};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

pub struct ViewTable {
    pub relation: Oid,
    /// What its states are filed under.
    pub number: i32,
    /// Whether an append that it cannot fold fails.
    pub strict: bool,
    pub view: View,
    pub shape: Shape,
    pub record: ViewRecord,
    statements: OnceCell<RowStatements>,
    found: RefCell<Option<Rc<Found>>>,
}

/// What was found out of a view's table.
struct Found {
    /// How often the table had changed then.
    changes: u64,
    can_refuse: bool,
    layout: Option<Rc<Layout>>,
}

thread_local! {
    /// How often each view's table has changed, of those that something was found out of.
    static CHANGES: RefCell<BTreeMap<u32, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// PostgreSQL says that a table has changed; [`Oid::INVALID`]: perhaps any.
pub fn changed(table: Oid) {
    CHANGES.with_borrow_mut(|changes| {
        let is_it = |of: &u32| table == Oid::INVALID || *of == table.to_u32();
        changes.iter_mut().filter(|(of, _)| is_it(of)).for_each(|(_, changes)| *changes += 1);
    });
}

impl ViewTable {
    /// Reads what is stored. An error says which part is wrong, where, and what was perhaps meant.
    pub fn read(record: ViewRecord) -> Result<ViewTable> {
        let view = parse(&record)?;
        let shape = view.shape();
        Ok(ViewTable {
            relation: record.relation,
            number: record.number,
            strict: record.strict,
            view,
            shape,
            record,
            statements: OnceCell::new(),
            found: RefCell::default(),
        })
    }

    /// The views of a stream.
    pub fn of_stream(stream: &str) -> Result<Vec<ViewTable>> {
        catalog::views_of(stream)?.into_iter().map(ViewTable::read).collect()
    }

    /// The view whose table this is.
    pub fn of_table(relation: Oid) -> Result<ViewTable> {
        match catalog::view_of_table(relation)? {
            Some(record) => ViewTable::read(record),
            None => Err(catalog::no_view(relation)?),
        }
    }

    /// The view with a table.
    pub fn with_table(self, relation: Oid, number: i32) -> ViewTable {
        let record = ViewRecord { relation, number, ..self.record };
        ViewTable { relation, number, record, statements: OnceCell::new(), found: RefCell::default(), ..self }
    }

    /// The view with those of its columns alone that another has too, and their places there.
    pub fn with_columns_of(&self, other: &ViewTable) -> (ViewTable, Vec<usize>) {
        let shared = |column: &Column| Some((column.clone(), other.view.columns.0.iter().position(|c| c == column)?));
        let (columns, places): (Vec<_>, Vec<_>) = self.view.columns.0.iter().filter_map(shared).unzip();
        let view = View { columns: Columns(columns), ..self.view.clone() };
        let (shape, record) = (view.shape(), self.record.clone());
        let (statements, found) = (OnceCell::new(), RefCell::default());
        let ViewTable { relation, number, strict, .. } = *self;
        (ViewTable { relation, number, strict, view, shape, record, statements, found }, places)
    }

    /// How its rows are written and read. What is known of a view is forgotten when its table is renamed.
    pub fn statements(&self) -> Result<&RowStatements> {
        if self.statements.get().is_none() {
            let statements = catalog::row_statements(&self.view, self.relation)?;
            return Ok(self.statements.get_or_init(|| statements));
        }
        self.statements.get().ok_or_else(|| internal("a view has no statements"))
    }

    /// Locks its table against those who change it, until the end of the transaction: what is said of it then stays true.
    pub fn hold(&self) -> Result<()> {
        catalog::lock(self.relation, pg_sys::RowExclusiveLock)
    }

    /// Whether its table can refuse a row: it has more than gundb has given it. The table is held.
    pub fn can_refuse(&self) -> Result<bool> {
        self.found().map(|found| found.can_refuse)
    }

    /// How its rows are written without statements, if they can be. The table is held.
    pub fn layout(&self) -> Result<Option<Rc<Layout>>> {
        self.found().map(|found| found.layout.clone())
    }

    fn found(&self) -> Result<Rc<Found>> {
        let changes = CHANGES.with_borrow_mut(|changes| *changes.entry(self.relation.to_u32()).or_default());
        if let Some(found) = self.found.borrow().as_ref().filter(|found| found.changes == changes) {
            return Ok(Rc::clone(found));
        }
        let can_refuse = catalog::can_refuse(&self.view, self.relation)?;
        let layout = if can_refuse { None } else { Layout::of(self)?.map(Rc::new) };
        let found = Rc::new(Found { changes, can_refuse, layout });
        self.found.replace(Some(Rc::clone(&found)));
        Ok(found)
    }

    /// What a stored state makes of a row; None: there is no row.
    pub fn values_of(&self, state: &[u8]) -> Result<Option<Vec<FoldValue>>> {
        if self.record.reducer.is_some() {
            return Ok(replay::values_of(&replay::decoded(state)?));
        }
        if state.is_empty() {
            return Ok(None);
        }
        let damaged = |error: String| internal(format!("a view's state is damaged: {error}"));
        let state = RowState::decode(state).map_err(|error| damaged(error.to_string()))?;
        self.view.values(&state).map_err(|error| damaged(error.to_string()))
    }

    /// Whether two views are the same, but for their tables.
    pub fn is_same(&self, other: &ViewTable) -> bool {
        self.view == other.view
            && self.strict == other.strict
            && self.record.stream == other.record.stream
            && self.record.reducer == other.record.reducer
    }
}

fn parse(record: &ViewRecord) -> Result<View> {
    let wrong = |what: &str, why: String| {
        Error::new(state::INVALID_PARAMETER, format!("the {what} of the view cannot be read: {why}"))
            .hint("docs/folds.md tells the language of views.")
    };
    let columns = match record.reducer {
        Some(_) => Columns::reduced(),
        None => record.columns.parse().map_err(|why| wrong("columns", format!("{why}")))?,
    };
    let key: Key = record.key.parse().map_err(|why| wrong("key", format!("{why}")))?;
    let filter = record.filter.as_deref().map(str::parse::<Filter>).transpose();
    let filter = filter.map_err(|why| wrong("filter", format!("{why}")))?;
    if let Some(part) = key.0.iter().find(|part| columns.0.iter().any(|column| column.name == part.name)) {
        return Err(Error::new(
            b"42701",
            format!("column \"{}\" is both in the view's key and among its columns", part.name),
        )
        .hint("Give the key another name: key => 'path as name'.")
        .into());
    }
    if let Some(types) = &record.types
        && let Some(kind) = record.deletes.iter().find(|kind| types.contains(kind))
    {
        return Err(Error::new(state::INVALID_PARAMETER, format!("event type \"{kind}\" is both folded and deletes"))
            .hint("Leave it out of types, or out of delete.")
            .into());
    }
    Ok(View { key, filter, types: record.types.clone(), deletes: record.deletes.clone(), columns })
}
