//! The sandbox: wasmtime with fuel, an epoch as a backstop, bounded memory and
//! stack, and a linker that offers nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
    StoreLimitsBuilder,
};

/// The types of `policy.wit`, generated.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub(super) mod wit {
    wasmtime::component::bindgen!({ path: "../policies/policy.wit", world: "policy" });
}

use wit::agentidp::policy::types;

/// What one decision may burn; a plain policy uses about 10,000.
const FUEL: u64 = 10_000_000;
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
/// How many instances may exist at a time.
const INSTANCES: u32 = 64;
/// How many warm instances of a module are kept.
const WARM: usize = 8;
/// After how many decisions a warm instance is made anew, so that what a module
/// leaks never adds up to its limit.
const DECISIONS_PER_INSTANCE: u32 = 1_000;

/// A module that trapped or ran out: what is known of why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trapped(String);

impl From<wasmtime::Error> for Trapped {
    fn from(error: wasmtime::Error) -> Self {
        // The chain's last error is the cause; the others are addresses.
        Self(error.root_cause().to_string())
    }
}

/// The one engine of the process.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<StoreLimits>,
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
}

struct Instance {
    store: Store<StoreLimits>,
    policy: wit::Policy,
    decisions: u32,
}

impl Engine {
    /// Makes the engine and starts its clock.
    ///
    /// # Errors
    /// The machine cannot run it.
    pub fn start() -> Result<Self, Trapped> {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(INSTANCES)
            .total_memories(INSTANCES)
            .total_tables(INSTANCES * 4)
            .max_memory_size(MEMORY);
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .epoch_interruption(true)
            .max_wasm_stack(STACK)
            .memory_reservation(16 << 20)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
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
        })
    }

    /// Compiles a component, which must export the world `policy` and import
    /// nothing. Takes tens of milliseconds: not for an async thread.
    pub(super) fn compile(&self, component: &[u8]) -> Result<Module, Trapped> {
        let component = Component::from_binary(&self.engine, component)?;
        let prepared = self.linker.instantiate_pre(&component)?;
        Ok(Module {
            prepared: wit::PolicyPre::new(prepared)?,
            warm: Mutex::default(),
        })
    }

    /// Asks a module. An instance that trapped is thrown away.
    pub(super) fn ask(
        &self,
        module: &Module,
        request: &types::Request,
    ) -> Result<types::Decision, Trapped> {
        let warm = module.warm();
        let mut instance = match warm {
            Some(instance) => instance,
            None => self.instantiate(module)?,
        };
        instance.store.set_fuel(FUEL)?;
        instance.store.set_epoch_deadline(EPOCHS);
        let decision = instance.policy.call_decide(&mut instance.store, request)?;
        instance.decisions += 1;
        module.keep(instance);
        Ok(decision)
    }

    fn instantiate(&self, module: &Module) -> Result<Instance, Trapped> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(MEMORY)
            .memories(1)
            .instances(4)
            .table_elements(10_000)
            .build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_hostcall_fuel(ANSWER);
        // A start function is the module's own code too.
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(EPOCHS);
        let policy = module.prepared.instantiate(&mut store)?;
        Ok(Instance {
            store,
            policy,
            decisions: 0,
        })
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
