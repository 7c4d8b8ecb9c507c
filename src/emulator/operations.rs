//! The operations of the secrets API: from a request's words to the rules and back to JSON.

use zeroize::Zeroizing;

use super::Emulator;
use super::access;
use super::answer::Answer;
use super::backup::BackupKey;
use super::errors::Refusal;
use super::faults::Fault;
use super::model::{SecretName, UnixTime, VersionId};
use super::options::Options;
use super::paging::{Cursor, PAGE_SIZE, Page, page_size};
use super::pem;
use super::random;
use super::routes::{Operation, Target};
use super::rules::{Found, Vault};
use super::service::{Asked, Call};
use super::wire::{self, Bundle, Context, List};

/// Carries out an operation that leaves the vault as it is.
pub(super) fn read(emulator: &Emulator, vault: &Vault, call: &Call<'_>) -> Result<Answer, Refusal> {
    let operation = Operate::new(emulator, &vault.options, call)?;
    match call.target.operation {
        Operation::GetSecret => operation.get(vault),
        Operation::GetDeletedSecret => operation.get_deleted(vault),
        Operation::BackupSecret => operation.backup(vault, &emulator.inner.backups),
        _ => operation.list(vault, call.fault),
    }
}

/// Carries out an operation that changes the vault.
pub(super) fn write(emulator: &Emulator, vault: &mut Vault, call: &Call<'_>, body: &[u8]) -> Result<Answer, Refusal> {
    let options = vault.options.clone();
    let operation = Operate::new(emulator, &options, call)?;
    match call.target.operation {
        Operation::RestoreSecret => operation.restore(vault, &emulator.inner.backups, body),
        _ => operation.write(vault, body),
    }
}

/// An operation on its way: what was asked, and when.
struct Operate<'a> {
    asked: &'a Asked,
    target: &'a Target,
    now: UnixTime,
    context: Context<'a>,
}

impl<'a> Operate<'a> {
    /// Refuses what the token does not allow.
    fn new(emulator: &Emulator, options: &'a Options, call: &Call<'a>) -> Result<Self, Refusal> {
        let (asked, target) = (call.asked, call.target);
        let api_version = asked.api_version()?;
        access::authorize(options.access, emulator.name(), call.claims, target)?;
        let context = Context { origin: &asked.origin, api_version, options };
        Ok(Operate { asked, target, now: call.now, context })
    }

    fn get(&self, vault: &Vault) -> Result<Answer, Refusal> {
        let found = vault.get(&self.name()?, self.version()?, self.now)?;
        let pem = self.in_the_form_asked_for(found)?;
        let bundle = Bundle::with_value(found, &self.context);
        let bundle = pem.iter().fold(bundle, |bundle, pem| bundle.in_pem(pem));
        Ok(Answer::json(200, wire::to_json(&bundle)))
    }

    fn get_deleted(&self, vault: &Vault) -> Result<Answer, Refusal> {
        let bundle = Bundle::without_value(vault.get_deleted(&self.name()?, self.now)?, &self.context);
        Ok(Answer::json(200, wire::to_json(&bundle)))
    }

    fn write(&self, vault: &mut Vault, body: &[u8]) -> Result<Answer, Refusal> {
        let (name, now) = (self.name()?, self.now);
        let found = match self.target.operation {
            Operation::SetSecret => {
                let new = wire::parse_set(body)?;
                let found = vault.set(&name, new, random::version_id(), now)?;
                let bundle = Bundle::with_value(found, &self.context);
                return Ok(Answer::json(200, wire::to_json(&bundle)));
            }
            Operation::PurgeDeletedSecret => {
                vault.purge(&name, now)?;
                return Ok(Answer::nothing());
            }
            Operation::UpdateSecret => vault.update(&name, self.version()?, wire::parse_update(body)?, now)?,
            Operation::DeleteSecret => vault.delete(&name, now)?,
            Operation::RecoverDeletedSecret => vault.recover(&name, now)?,
            _ => return Err(Refusal::no_such_resource()),
        };
        let bundle = Bundle::without_value(found, &self.context);
        Ok(Answer::json(200, wire::to_json(&bundle)))
    }

    fn backup(&self, vault: &Vault, key: &BackupKey) -> Result<Answer, Refusal> {
        let value = key.seal(vault.backup(&self.name()?, self.now)?)?;
        Ok(Answer::json(200, wire::to_json(&wire::Backup { value })))
    }

    fn restore(&self, vault: &mut Vault, key: &BackupKey, body: &[u8]) -> Result<Answer, Refusal> {
        let secret = key.open(&wire::parse_restore(body)?)?;
        let base = self.asked.origin.id_base();
        let url = format!("{base}/secrets/{}/{}", secret.name.as_str(), secret.latest);
        let restored = vault.restore(secret, self.now);
        let found = restored.ok_or_else(|| Refusal::restore_conflict(&url))?;
        let bundle = Bundle::without_value(found, &self.context);
        Ok(Answer::json(200, wire::to_json(&bundle)))
    }

    fn list(&self, vault: &Vault, fault: Option<&Fault>) -> Result<Answer, Refusal> {
        let mut size = self.asked.query("maxresults").map_or(Ok(PAGE_SIZE), page_size)?;
        let mut cursor = self.asked.query("$skiptoken").map(Cursor::decode).transpose()?;
        match fault {
            Some(Fault::ShortPages(rows)) => size = size.min(*rows).max(1),
            Some(Fault::EmptyPages(pages)) => {
                let cursor = cursor.get_or_insert_default();
                // Pages that follow empty ones are spared, or the list would never end.
                cursor.empty_pages.get_or_insert(*pages);
            }
            _ => {}
        }
        let cursor = cursor.unwrap_or_default();
        if let Some(pages @ 1..) = cursor.empty_pages {
            let rest = Cursor { empty_pages: Some(pages - 1), ..cursor };
            return Ok(self.page(Vec::new(), Some(rest)));
        }
        self.rows(vault, &cursor.row, size)
    }

    fn rows(&self, vault: &Vault, from: &str, size: usize) -> Result<Answer, Refusal> {
        if self.target.operation == Operation::GetSecretVersions {
            let version = from.split_once('/').and_then(|(_, hex)| VersionId::parse(hex));
            let from = version.unwrap_or(VersionId::LOWEST);
            let name = self.name()?;
            let page = Page::take(vault.list_versions(&name, from, self.now), size);
            let next =
                page.next.map(|found| format!("{}/{}", found.secret.name.key(), found.version.id).to_ascii_uppercase());
            return Ok(self.full_page(page.rows, next, Bundle::version_item));
        }
        let page = match self.target.operation {
            Operation::GetSecrets => Page::take(vault.list(from, self.now), size),
            _ => Page::take(vault.list_deleted(from, self.now), size),
        };
        let rows = page.rows.into_iter().filter_map(Found::latest).collect();
        Ok(self.full_page(rows, page.next.map(|s| s.name.key()), Bundle::secret_item))
    }

    fn full_page<'b>(
        &self,
        rows: Vec<Found<'b>>,
        next: Option<String>,
        item: fn(Found<'b>, &Context<'_>) -> Bundle<'b>,
    ) -> Answer {
        let items = rows.into_iter().map(|found| item(found, &self.context)).collect();
        self.page(items, next.map(|row| Cursor { row, empty_pages: None }))
    }

    fn page(&self, value: Vec<Bundle<'_>>, next: Option<Cursor>) -> Answer {
        let next_link = next.map(|cursor| self.next_link(&cursor));
        Answer::json(200, wire::to_json(&List { value, next_link }))
    }

    /// Absolute, port included, its parameters in the recorded order.
    fn next_link(&self, cursor: &Cursor) -> String {
        let (base, path) = (self.asked.origin.link_base(), &self.asked.path);
        let version = self.context.api_version.as_str();
        let link = format!("{base}{path}?api-version={version}&$skiptoken={}", cursor.encode());
        match self.asked.query("maxresults").map(page_size) {
            Some(Ok(size)) => format!("{link}&maxresults={size}"),
            _ => link,
        }
    }

    fn in_the_form_asked_for(&self, found: Found<'_>) -> Result<Option<Zeroizing<String>>, Refusal> {
        let asked = self.asked.query("outContentType");
        let asked = asked.filter(|_| self.context.api_version.has_certificate_additions());
        asked.map_or(Ok(None), |asked| in_form(found, asked))
    }

    fn name(&self) -> Result<SecretName, Refusal> {
        let name = self.target.name.as_deref().unwrap_or_default();
        SecretName::parse(name).ok_or_else(|| Refusal::invalid_name(name))
    }

    /// `None` is the latest. What cannot be an identifier names no version.
    fn version(&self) -> Result<Option<VersionId>, Refusal> {
        let Some(text) = self.target.version.as_deref() else {
            return Ok(None);
        };
        let name = self.target.name.as_deref().unwrap_or_default();
        VersionId::parse(text).map(Some).ok_or_else(|| Refusal::not_found(name))
    }
}

/// The value in the form of a content type, where that is not the form it is kept in. The service
/// converts PFX to PEM and nothing else.
pub(super) fn in_form(found: Found<'_>, content_type: &str) -> Result<Option<Zeroizing<String>>, Refusal> {
    let to = Form::of(Some(content_type));
    let held = found.version.content.content_type.as_deref();
    let from = if found.version.content.managed { Form::of(held) } else { Form::Unsupported };
    match (from, to) {
        (_, Form::Unsupported) => Err(Refusal::invalid_value("outContentType")),
        (from, to) if from == to => Ok(None),
        (Form::Pfx, Form::Pem) => pem::of_pfx(found.version.content.value.expose()).map(Some),
        (from, to) => Err(Refusal::no_transformation(from.name(), to.name())),
    }
}

/// The forms a certificate's secret comes in, by the service's names for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pfx,
    Pem,
    Unsupported,
}

impl Form {
    fn of(content_type: Option<&str>) -> Self {
        match content_type {
            Some(wire::PFX) => Form::Pfx,
            Some(wire::PEM) => Form::Pem,
            _ => Form::Unsupported,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Form::Pfx => "PFX",
            Form::Pem => "PEM",
            Form::Unsupported => "Unsupported",
        }
    }
}
