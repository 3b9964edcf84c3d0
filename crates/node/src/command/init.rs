//! `gundb init`

use serde_json::json;

use crate::command::Context;
use crate::error::Result;
use crate::site::postgres::init::{Made, init};
use crate::store::Edge;

#[derive(Debug, clap::Args)]
pub struct Init {
    /// The site's name; for a store that is there, its new name
    #[arg(long)]
    name: String,
    /// The store is a copy: make it a site of its own
    #[arg(long)]
    new_identity: bool,
}

impl Init {
    pub fn run(self, context: &mut Context) -> Result<()> {
        if let Some(url) = context.url() {
            let Made { site, is_new } = init(url, &self.name, self.new_identity)?;
            let done = if is_new { "extension gundb created; " } else { "" };
            let line = format!("{done}site {} ({site}) in {url}", self.name);
            let document = json!({ "site": site.to_string(), "name": self.name, "extension_created": is_new });
            return context.out.tell(document, line);
        }
        let edge = if self.new_identity {
            let edge = context.open()?;
            edge.new_identity(&self.name)?;
            edge
        } else if Edge::is_in(&context.store) {
            let edge = context.open()?;
            edge.name_site(&self.name)?;
            edge
        } else {
            Edge::create(&context.store, &self.name, context.options)?
        };
        let site = edge.site();
        edge.close()?;
        let line = format!("site {} ({site}) in {}", self.name, context.store.display());
        context.out.tell(json!({ "site": site.to_string(), "name": self.name }), line)
    }
}
