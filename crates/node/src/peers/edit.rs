//! Changing the configuration file: a peer is added, paused, resumed or dropped, and all else stays as somebody wrote it.

use crate::peers::config::{Config, ConfigError, text_of};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// A configuration file, to be changed.
pub struct Edit {
    path: PathBuf,
    document: DocumentMut,
}

impl Edit {
    /// Reads it; one that is not there is empty.
    pub fn open(path: &Path) -> Result<Edit, ConfigError> {
        Edit::of(&text_of(path)?.unwrap_or_default(), path)
    }

    /// Takes a file's text.
    pub fn of(text: &str, path: &Path) -> Result<Edit, ConfigError> {
        Config::parse(text, path)?;
        let malformed =
            |error: toml_edit::TomlError| ConfigError::Malformed { path: path.to_owned(), why: error.to_string() };
        let document = text.parse().map_err(malformed)?;
        Ok(Edit { path: path.to_owned(), document })
    }

    /// Adds a peer. Lists that say nothing new are left out.
    pub fn add(
        &mut self,
        name: &str,
        url: &str,
        push: &[String],
        pull: &[String],
        accept: Option<&str>,
    ) -> Result<(), ConfigError> {
        if self.peer(name).is_some() {
            return Err(ConfigError::Wrong { why: format!("there is a peer \"{name}\" already") });
        }
        let mut table = Table::new();
        table["name"] = value(name);
        table["url"] = value(url);
        for (word, patterns) in [("push", push), ("pull", pull)] {
            if !patterns.is_empty() {
                table[word] = value(patterns.iter().collect::<toml_edit::Array>());
            }
        }
        if let Some(accept) = accept {
            table["accept"] = value(accept);
        }
        let peers = self.document.entry("peer").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let wrong = || ConfigError::Wrong { why: "the file's peers are not written as [[peer]]".to_owned() };
        peers.as_array_of_tables_mut().ok_or_else(wrong)?.push(table);
        Ok(())
    }

    /// Pauses a peer, or lets it go on.
    pub fn pause(&mut self, name: &str, paused: bool) -> Result<(), ConfigError> {
        let unknown = self.unknown(name);
        let peer = self.peer(name).ok_or(unknown)?;
        if paused {
            peer["paused"] = value(true);
        } else {
            peer.remove("paused");
        }
        Ok(())
    }

    /// Drops a peer.
    pub fn drop_peer(&mut self, name: &str) -> Result<(), ConfigError> {
        let unknown = self.unknown(name);
        self.peer(name).ok_or(unknown)?;
        if let Some(peers) = self.document.get_mut("peer").and_then(Item::as_array_of_tables_mut) {
            peers.retain(|peer| peer.get("name").and_then(Item::as_str) != Some(name));
        }
        Ok(())
    }

    /// The text that it has become.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// Writes it: whole or not at all, and never what could not be read again.
    pub fn save(self) -> Result<Config, ConfigError> {
        let text = self.text();
        let config = Config::parse(&text, &self.path)?;
        let unfinished = self.path.with_extension("toml.unfinished");
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            if let Ok(metadata) = fs::metadata(&self.path) {
                file.set_permissions(metadata.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &self.path)
        })();
        written.map_err(|error| ConfigError::File { path: self.path.clone(), why: error.to_string() })?;
        Ok(config)
    }

    fn peer(&mut self, name: &str) -> Option<&mut Table> {
        let peers = self.document.get_mut("peer").and_then(Item::as_array_of_tables_mut)?;
        peers.iter_mut().find(|peer| peer.get("name").and_then(Item::as_str) == Some(name))
    }

    fn unknown(&self, name: &str) -> ConfigError {
        let peers = self.document.get("peer").and_then(Item::as_array_of_tables);
        let names: Vec<&str> =
            peers.into_iter().flatten().filter_map(|peer| peer.get("name").and_then(Item::as_str)).collect();
        let meant = gundb_core::similar(name, names.iter().copied());
        let meant = meant.map(|meant| format!(": did you mean \"{meant}\"?")).unwrap_or_default();
        ConfigError::Wrong { why: format!("there is no peer \"{name}\"{meant}") }
    }
}
