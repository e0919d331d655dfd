//! A look at a module before anything is done with it: one pass over its
//! sections, without validation and without memory of its own. It refuses what no
//! policy is, and what would keep a compiler busy.

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, CompositeInnerType, Encoding, FunctionBody,
    MemoryType, Parser, Payload, TableType, TypeBounds,
};

use super::refused::Refused;

/// The largest module that anybody may upload, in bytes.
pub(crate) const LARGEST: usize = 1 << 20;
/// The types of `policy.wit`, which a component names as an import: it has no
/// functions, which compilation checks.
const TYPES: &str = "agentidp:policy/types@1.0.0";
/// What a policy exports.
const DECIDE: &str = "decide";
/// How wit-bindgen's custom sections begin.
const METADATA: &str = "component-type";

/// The largest code of one function, in bytes: compilation takes more than
/// linear time. Functions of plain policies have a few KiB.
const FUNCTION: u64 = 64 << 10;
/// Its parameters aside.
const LOCALS: u64 = 1_000;
const FUNCTIONS: u64 = 10_000;
const TYPES_OF_FUNCTIONS: u64 = 10_000;
const MODULES: u64 = 4;
const MEMORIES: u64 = 1;
/// Of 64 KiB: what the sandbox lets a memory grow to.
const PAGES: u64 = 128;
const TABLES: u64 = 4;
const TABLE_ELEMENTS: u64 = 10_000;
const GLOBALS: u64 = 1_000;
const SEGMENTS: u64 = 10_000;
const EXPORTS: u64 = 1_000;
const INSTANCES: u64 = 64;
const DEFINITIONS: u64 = 1_000;

/// Looks at a module of at most `most` bytes.
///
/// # Errors
/// What is wrong with it. What passes need not be valid.
pub(crate) fn inspect(bytes: &[u8], most: usize) -> Result<(), Refused> {
    if bytes.is_empty() {
        return Err(Refused::Empty);
    }
    if bytes.len() > most {
        let has = bytes.len();
        return Err(Refused::TooLarge { has, most });
    }
    if !Parser::is_core_wasm(bytes) && !Parser::is_component(bytes) {
        return Err(Refused::NotWasm);
    }
    let mut seen = Seen {
        component: Parser::is_component(bytes),
        ..Seen::default()
    };
    for payload in Parser::new(0).parse_all(bytes) {
        seen.payload(payload.map_err(unreadable)?)?;
    }
    seen.whole()
}

fn unreadable(error: wasmparser::Error) -> Refused {
    let offset = error.offset();
    Refused::Malformed(format!("{} at byte {offset}", error.message()))
}

/// What there was so far, in all modules of a component together.
#[derive(Default)]
struct Seen {
    component: bool,
    /// How many modules and components are being read, one inside another.
    depth: u32,
    modules: u64,
    functions: u64,
    types: u64,
    memories: u64,
    tables: u64,
    globals: u64,
    segments: u64,
    exports: u64,
    instances: u64,
    definitions: u64,
    metadata: bool,
    decides: bool,
    /// A few of the names that it exports.
    names: Vec<String>,
}

/// Adds to a count that has a limit.
fn count(what: &'static str, sum: &mut u64, more: u64, most: u64) -> Result<(), Refused> {
    *sum = sum.saturating_add(more);
    if *sum > most {
        let has = *sum;
        return Err(Refused::TooMuch { what, has, most });
    }
    Ok(())
}

/// Holds one number to its limit.
fn hold(what: &'static str, has: u64, most: u64) -> Result<(), Refused> {
    count(what, &mut 0, has, most)
}

impl Seen {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(encoding),
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::CustomSection(section) => {
                self.metadata |= section.name().starts_with(METADATA);
                Ok(())
            }
            Payload::TypeSection(section) => {
                let more = section.count().into();
                count("types", &mut self.types, more, TYPES_OF_FUNCTIONS)?;
                for group in section {
                    for part in group.map_err(unreadable)?.into_types() {
                        let kind = &part.composite_type;
                        if kind.shared || !matches!(kind.inner, CompositeInnerType::Func(_)) {
                            return Err(Refused::Feature("garbage-collected or shared types"));
                        }
                    }
                }
                Ok(())
            }
            // The modules of a component import from each other.
            Payload::ImportSection(section) if !self.component => {
                match section.into_imports().next() {
                    None => Ok(()),
                    Some(import) => {
                        let import = import.map_err(unreadable)?;
                        let name = format!("{}.{}", import.module, import.name);
                        Err(Refused::Import(shown(&name)))
                    }
                }
            }
            Payload::ImportSection(section) => {
                let more = section.count().into();
                count("definitions", &mut self.definitions, more, DEFINITIONS)
            }
            Payload::FunctionSection(section) => {
                let more = section.count().into();
                count("functions", &mut self.functions, more, FUNCTIONS)
            }
            Payload::CodeSectionEntry(body) => function(&body),
            Payload::MemorySection(section) => {
                let more = section.count().into();
                count("memories", &mut self.memories, more, MEMORIES)?;
                for part in section {
                    memory(part.map_err(unreadable)?)?;
                }
                Ok(())
            }
            Payload::TableSection(section) => {
                let more = section.count().into();
                count("tables", &mut self.tables, more, TABLES)?;
                for part in section {
                    table(part.map_err(unreadable)?.ty)?;
                }
                Ok(())
            }
            Payload::GlobalSection(section) => {
                let more = section.count().into();
                count("globals", &mut self.globals, more, GLOBALS)
            }
            Payload::ElementSection(section) => {
                let more = section.count().into();
                count("segments", &mut self.segments, more, SEGMENTS)
            }
            Payload::DataSection(section) => {
                let more = section.count().into();
                count("segments", &mut self.segments, more, SEGMENTS)
            }
            Payload::TagSection(_) => Err(Refused::Feature("exceptions")),
            Payload::ExportSection(section) => {
                let more = section.count().into();
                count("exports", &mut self.exports, more, EXPORTS)?;
                if !self.component {
                    for export in section {
                        self.export(export.map_err(unreadable)?.name);
                    }
                }
                Ok(())
            }
            payload => self.of_component(payload),
        }
    }

    fn of_component(&mut self, payload: Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::ModuleSection { .. } => count("modules", &mut self.modules, 1, MODULES),
            Payload::ComponentSection { .. } => Err(Refused::Feature("components in components")),
            Payload::ComponentStartSection { .. } => {
                Err(Refused::Feature("a component's start function"))
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(unreadable)?;
                    let name = import.name.name;
                    let known = match import.ty {
                        ComponentTypeRef::Instance(_) => name == TYPES,
                        // Another name for one of those.
                        ComponentTypeRef::Type(TypeBounds::Eq(_)) => true,
                        _ => false,
                    };
                    if !known {
                        return Err(Refused::Import(shown(name)));
                    }
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                let more = section.count().into();
                count("exports", &mut self.exports, more, EXPORTS)?;
                for export in section {
                    let export = export.map_err(unreadable)?;
                    let name = export.name.name;
                    if name != DECIDE || export.kind != ComponentExternalKind::Func {
                        return Err(Refused::Export(shown(name)));
                    }
                    self.export(name);
                }
                Ok(())
            }
            Payload::InstanceSection(section) => {
                let more = section.count().into();
                count("instances", &mut self.instances, more, INSTANCES)
            }
            Payload::ComponentInstanceSection(section) => {
                let more = section.count().into();
                count("instances", &mut self.instances, more, INSTANCES)
            }
            Payload::ComponentTypeSection(section) => {
                let more = section.count().into();
                count("definitions", &mut self.definitions, more, DEFINITIONS)
            }
            Payload::CoreTypeSection(section) => {
                let more = section.count().into();
                count("definitions", &mut self.definitions, more, DEFINITIONS)
            }
            Payload::ComponentAliasSection(section) => {
                let more = section.count().into();
                count("definitions", &mut self.definitions, more, DEFINITIONS)
            }
            Payload::ComponentCanonicalSection(section) => {
                let more = section.count().into();
                count("definitions", &mut self.definitions, more, DEFINITIONS)
            }
            Payload::UnknownSection { id, .. } => {
                Err(Refused::Malformed(format!("it has a section {id}")))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), Refused> {
        // A parser reads a component's bytes as such whatever they claim to be.
        if self.depth == 0 && (encoding == Encoding::Component) != self.component {
            return Err(Refused::NotWasm);
        }
        self.depth += 1;
        Ok(())
    }

    fn export(&mut self, name: &str) {
        self.decides |= name == DECIDE;
        if self.names.len() < 5 {
            self.names.push(shown(name));
        }
    }

    fn whole(self) -> Result<(), Refused> {
        if !self.component && !self.metadata {
            return Err(Refused::NoMetadata);
        }
        if !self.decides {
            let names = self.names.join(", ");
            let named = if names.is_empty() { "nothing" } else { &names };
            return Err(Refused::NoDecide(named.to_owned()));
        }
        Ok(())
    }
}

fn function(body: &FunctionBody<'_>) -> Result<(), Refused> {
    let size = body.range().len() as u64;
    hold("bytes of code in one function", size, FUNCTION)?;
    let mut locals = 0;
    for group in body.get_locals_reader().map_err(unreadable)? {
        let (more, _) = group.map_err(unreadable)?;
        let what = "local variables in one function";
        count(what, &mut locals, more.into(), LOCALS)?;
    }
    Ok(())
}

fn memory(part: MemoryType) -> Result<(), Refused> {
    if part.shared || part.memory64 || part.page_size_log2.is_some() {
        return Err(Refused::Feature(
            "a memory that is shared, of 64 bits or of other pages",
        ));
    }
    hold("pages (64 KiB) of memory", part.initial, PAGES)
}

fn table(part: TableType) -> Result<(), Refused> {
    if part.shared || part.table64 {
        return Err(Refused::Feature("a table that is shared or of 64 bits"));
    }
    hold("elements in one table", part.initial, TABLE_ELEMENTS)
}

/// A module's own word, fit to be printed.
fn shown(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("`{}`", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_modules_pass_and_no_part_of_one_makes_the_look_fail_otherwise_than_by_a_word() {
        let free = include_bytes!(concat!(env!("OUT_DIR"), "/free.component.wasm"));
        inspect(free, LARGEST).unwrap();
        assert!(inspect(free, free.len() - 1).is_err());
        // What ends with a whole section may have lost what says who built it, alone.
        let ends: Vec<usize> = (0..free.len()).collect();
        let pass = |end: &&usize| inspect(&free[..**end], LARGEST).is_ok();
        let passing = ends.iter().filter(pass).count();
        assert!(passing < 5, "{passing}");
        for at in (0..free.len()).step_by(3) {
            let mut changed = free.to_vec();
            changed[at] ^= 0x55;
            if let Err(refused) = inspect(&changed, LARGEST) {
                let said = refused.to_string();
                assert!(said.ends_with('.') && said.len() < 600, "{said}");
            }
        }
    }
}
