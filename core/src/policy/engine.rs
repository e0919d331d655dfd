//! The sandbox: wasmtime with fuel, an epoch as a backstop, bounded memory and
//! stack, and a linker that offers nothing. It runs machine code; the compiler is
//! another process.

use std::hash::{Hash as _, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolConcurrencyLimitError, PoolingAllocationConfig, Store,
    StoreLimits, StoreLimitsBuilder,
};

/// The types of `policy.wit`, generated.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub(super) mod wit {
    wasmtime::component::bindgen!({ path: "../policies/sdk/wit/policy.wit", world: "policy" });
}

use wit::agentidp::policy::types;

use super::artifacts::Artifact;
use super::breaker::Breaker;

/// What one decision may burn, and by whose instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spend {
    fuel: u64,
    /// Whether a used instance may be asked again.
    warm: bool,
}

impl Spend {
    /// A tier's module, which is the operator's.
    pub(super) const TIER: Self = Self {
        fuel: 10_000_000,
        warm: true,
    };
    /// A tenant's: a plain policy burns about 8,000, and half a million are over in
    /// an eighth of a millisecond, no more than a token or two take themselves.
    /// Nothing of one decision is there at the next.
    pub(super) const TENANT: Self = Self {
        fuel: 500_000,
        warm: false,
    };
}

/// How often the epoch advances.
const EPOCH: Duration = Duration::from_millis(50);
/// After how many epochs a decision is stopped, whatever fuel it has: fuel is
/// the limit, this the backstop on a machine that is busy with other things.
const EPOCHS: u64 = 5;
/// What a guest's memory may grow to, in bytes.
const MEMORY: usize = 8 << 20;
/// How much a guest may hand over in one answer, in bytes: its lists could name
/// the same megabytes many times over.
const ANSWER: usize = 256 << 10;
/// A guest's stack, in bytes.
const STACK: usize = 256 << 10;
/// How many instances there is room for.
const INSTANCES: u32 = 256;
/// How many modules may be asked at a time. Each runs on a thread that does nothing
/// else meanwhile, so that it is about as many as there are processors.
const RUNNING: usize = 64;
/// How many instances of core modules one of a component has at most.
const CORE_INSTANCES: u32 = 4;
/// How many warm instances of a module are kept, and of all modules.
const WARM: usize = 2;
const WARM_IN_ALL: usize = 64;
/// How much of an instance's memory and tables is cleared by writing and not by the
/// kernel, in bytes: a module of the SDK has no more, and its decision then makes no
/// system call, of which each stops every thread of the process.
const CLEARED: usize = 128 << 10;
const TABLES_CLEARED: usize = 4 << 10;
/// How many instances that are not in use keep so much, of modules that others took
/// turns with.
const UNUSED: u32 = 32;
/// After how many decisions a warm instance is made anew, so that what a module
/// leaks never adds up to its limit.
const DECISIONS_PER_INSTANCE: u32 = 1_000;

/// A module that trapped or ran out: what is known of why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trapped(String);

impl Trapped {
    pub(super) fn because(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<wasmtime::Error> for Trapped {
    fn from(error: wasmtime::Error) -> Self {
        // The chain's last error is the cause; the others are addresses.
        Self(error.root_cause().to_string())
    }
}

/// No module can be asked at this moment; none is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many policies are asked at a time")]
pub struct Busy;

/// What a module said, and what it burnt.
pub(super) struct Answered {
    pub(super) said: Result<types::Decision, Trapped>,
    pub(super) fuel: u64,
}

/// The one engine of the process.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<StoreLimits>,
    running: Semaphore,
    warm: Arc<Semaphore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// A compiled module and its warm instances.
pub(super) struct Module {
    prepared: wit::PolicyPre<StoreLimits>,
    warm: Mutex<Vec<Instance>>,
    /// What it takes in memory, about: the size of its artifact, in bytes.
    pub(super) size: u64,
    pub(super) breaker: Breaker,
}

struct Instance {
    store: Store<StoreLimits>,
    policy: wit::Policy,
    decisions: u32,
    /// Its place among the warm ones, once it is one.
    place: Option<OwnedSemaphorePermit>,
}

/// What the compiler and the engine have to agree on. Where instances come from is
/// no part of it: a compiler has none.
pub(super) fn settings() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .memory_reservation(16 << 20)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        // What it computes may differ between processors.
        .wasm_relaxed_simd(false)
        // Where in the module a trap was: nobody looks, and it is a third of the code.
        .generate_address_map(false);
    config
}

/// Whether a component imports nothing and exports the world `policy`.
pub(super) fn check(engine: &wasmtime::Engine, component: &Component) -> wasmtime::Result<()> {
    let linker = Linker::<StoreLimits>::new(engine);
    wit::PolicyPre::new(linker.instantiate_pre(component)?).map(drop)
}

/// What is hashed, as a SHA-256.
struct Hashed(Sha256);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl Engine {
    /// Makes the engine and starts its clock.
    ///
    /// # Errors
    /// The machine cannot run it.
    pub fn start() -> Result<Self, Trapped> {
        Self::with_room_for(INSTANCES)
    }

    fn with_room_for(instances: u32) -> Result<Self, Trapped> {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(instances)
            .total_core_instances(instances * CORE_INSTANCES)
            .total_memories(instances)
            .total_tables(instances * 4)
            .max_memory_size(MEMORY)
            .linear_memory_keep_resident(CLEARED)
            .table_keep_resident(TABLES_CLEARED)
            .max_unused_warm_slots(UNUSED);
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = wasmtime::Engine::new(&config)?;
        let clock = engine.weak();
        std::thread::Builder::new()
            .name("policy-epoch".to_owned())
            .spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(EPOCH);
                }
            })
            .map_err(|error| Trapped(error.to_string()))?;
        Ok(Self {
            linker: Linker::new(&engine),
            engine,
            running: Semaphore::new(RUNNING),
            warm: Arc::new(Semaphore::new(WARM_IN_ALL)),
        })
    }

    /// What code has to be compiled for to run here: the compiler's version, its
    /// settings, the processor. A SHA-256.
    pub(super) fn compatibility(&self) -> Vec<u8> {
        let mut hashed = Hashed(Sha256::new());
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hashed);
        hashed.0.finalize().to_vec()
    }

    /// Makes a module of machine code. Takes about a millisecond.
    #[allow(
        unsafe_code,
        reason = "machine code from the database is run as it is: its MAC says whose it is"
    )]
    pub(super) fn load(&self, artifact: &Artifact) -> Result<Module, Trapped> {
        // SAFETY: an `Artifact` is what this service's own compiler wrote a moment ago,
        // or what it stored under a MAC by a key that nobody else has, over the code,
        // the engine's name and the module's digest.
        let component = unsafe { Component::deserialize(&self.engine, artifact.bytes()) }?;
        let prepared = self.linker.instantiate_pre(&component)?;
        Ok(Module {
            prepared: wit::PolicyPre::new(prepared)?,
            warm: Mutex::default(),
            size: artifact.bytes().len() as u64,
            breaker: Breaker::default(),
        })
    }

    /// Asks a module. An instance that trapped is thrown away.
    ///
    /// # Errors
    /// There is no room for another instance now.
    pub(super) fn ask(
        &self,
        module: &Module,
        request: &types::Request,
        spend: Spend,
    ) -> Result<Answered, Busy> {
        let _running = self.running.try_acquire().map_err(|_| Busy)?;
        let warm = spend.warm.then(|| module.warm()).flatten();
        let mut instance = match warm.map_or_else(|| self.instantiate(module, spend.fuel), Ok) {
            Ok(instance) => instance,
            Err(error) if error.is::<PoolConcurrencyLimitError>() => return Err(Busy),
            Err(error) => {
                return Ok(Answered {
                    said: Err(error.into()),
                    // How much of it is not told.
                    fuel: spend.fuel,
                });
            }
        };
        let said = instance.ask(request, spend.fuel);
        let left = instance.store.get_fuel().unwrap_or_default();
        let fuel = spend.fuel.saturating_sub(left);
        if said.is_ok() && spend.warm {
            self.keep(module, instance);
        }
        Ok(Answered { said, fuel })
    }

    /// Keeps an instance for the next decision, where there is a place for it.
    fn keep(&self, module: &Module, mut instance: Instance) {
        if instance.place.is_none() {
            instance.place = Arc::clone(&self.warm).try_acquire_owned().ok();
        }
        if instance.place.is_some() {
            module.keep(instance);
        }
    }

    fn instantiate(&self, module: &Module, fuel: u64) -> wasmtime::Result<Instance> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(MEMORY)
            .memories(1)
            .instances(CORE_INSTANCES as usize)
            .table_elements(10_000)
            .build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_hostcall_fuel(ANSWER);
        // A start function is the module's own code too.
        store.set_fuel(fuel)?;
        store.set_epoch_deadline(EPOCHS);
        let policy = module.prepared.instantiate(&mut store)?;
        Ok(Instance {
            store,
            policy,
            decisions: 0,
            place: None,
        })
    }
}

impl Instance {
    fn ask(&mut self, request: &types::Request, fuel: u64) -> Result<types::Decision, Trapped> {
        // What the start burnt is not there twice: a fresh one goes on with the rest.
        if self.decisions > 0 {
            self.store.set_fuel(fuel)?;
            self.store.set_epoch_deadline(EPOCHS);
        }
        self.decisions += 1;
        Ok(self.policy.call_decide(&mut self.store, request)?)
    }
}

impl Module {
    fn warm(&self) -> Option<Instance> {
        self.warm
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn keep(&self, instance: Instance) {
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        if instance.decisions < DECISIONS_PER_INSTANCE && warm.len() < WARM {
            warm.push(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::module_of_text::{DENIES, ENDLESS, compiled, nothing};
    use super::*;

    fn loaded(engine: &Engine, text: &str) -> Module {
        engine.load(&compiled(text)).unwrap()
    }

    #[test]
    fn a_module_that_finds_no_room_is_not_to_blame() {
        let engine = Engine::with_room_for(1).unwrap();
        let module = loaded(&engine, DENIES);
        let ask = || engine.ask(&module, &nothing(), Spend::TENANT);
        assert!(ask().unwrap().said.is_ok());

        let other = engine.instantiate(&module, 1_000).unwrap();
        assert_eq!(ask().err(), Some(Busy));
        drop(other);
        assert!(ask().unwrap().said.is_ok());

        let all = u32::try_from(RUNNING).unwrap();
        let running = engine.running.try_acquire_many(all).unwrap();
        assert_eq!(ask().err(), Some(Busy));
        drop(running);
        assert!(ask().unwrap().said.is_ok());
    }

    #[test]
    fn warm_instances_of_many_modules_leave_room() {
        const { assert!(RUNNING + WARM_IN_ALL < INSTANCES as usize) };
        let engine = Engine::start().unwrap();
        let modules: Vec<_> = (0..WARM_IN_ALL + 3)
            .map(|_| loaded(&engine, DENIES))
            .collect();
        for module in &modules {
            let answered = engine.ask(module, &nothing(), Spend::TIER).unwrap();
            assert!(answered.said.is_ok());
        }
        let kept = |module: &Module| module.warm.lock().unwrap().len();
        assert_eq!(modules.iter().map(kept).sum::<usize>(), WARM_IN_ALL);
        drop(modules);
        assert_eq!(engine.warm.available_permits(), WARM_IN_ALL);
    }

    #[test]
    fn time_ends_what_fuel_would_not() {
        let engine = Engine::start().unwrap();
        let module = loaded(&engine, ENDLESS);
        let spend = Spend {
            fuel: u64::MAX,
            warm: false,
        };
        let begun = std::time::Instant::now();
        let answered = engine.ask(&module, &nothing(), spend).unwrap();
        let took = begun.elapsed();
        let why = answered.said.unwrap_err().to_string();
        assert!(why.contains("interrupt"), "{why}");
        let deadline = EPOCH * u32::try_from(EPOCHS).unwrap();
        assert!(took >= deadline - EPOCH, "{took:?}");
        // Long before the fuel would have been over, however busy the machine.
        assert!(took < Duration::from_secs(20), "{took:?}");
    }

    #[test]
    fn the_compiler_and_the_engine_agree_though_one_has_a_pool() {
        let pooling = Engine::start().unwrap();
        let compiler = Engine {
            engine: wasmtime::Engine::new(&settings()).unwrap(),
            ..Engine::start().unwrap()
        };
        assert_eq!(pooling.compatibility(), compiler.compatibility());
        let mut others = settings();
        others.consume_fuel(false);
        let other = Engine {
            engine: wasmtime::Engine::new(&others).unwrap(),
            ..compiler
        };
        assert_ne!(pooling.compatibility(), other.compatibility());
    }
}
