//! A decision: the tier's module first, then the tenant's within what that left,
//! and beside it the one that only watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Allowed, Ceiling, Decision, Denial, beyond, clamp};
use super::engine::{Busy, Engine, Module, Spend};
use super::modules::Policies;
use super::question::Question;
use super::queue::Full;
use crate::database::Database;
use crate::error::Failure;
use crate::ids::OrgId;
use crate::tenants::Tier;

/// How long a decision waits for the module of a version that only watches.
const SHADOW_PATIENCE: Duration = Duration::from_millis(100);
/// How long a denial waits while the version rests: whoever asks all the same, and as
/// fast as it is answered, is not to take more of the service than one who is served.
const RESTING: Duration = Duration::from_millis(100);

/// Why nothing was decided; no module is to blame.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// A module had to be read.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Too many are asked at a time.
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl From<Undecided> for Failure {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Database(error) => error.into(),
            Undecided::Busy(Busy) => {
                Self::Unavailable("The policies cannot be asked at the moment.")
            }
        }
    }
}

/// A tenant's version, as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its name in tokens and events.
    pub digest: String,
    /// Its module.
    pub module_digest: String,
    /// What was uploaded beside it.
    pub settings: Vec<(String, String)>,
    /// Which claims it may give.
    pub claims: Vec<String>,
}

/// The versions that a tenant's decisions ask.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    /// The one that counts.
    pub active: Option<Arc<Version>>,
    /// The one that only watches.
    pub shadow: Option<Arc<Version>>,
}

/// What one module made of what came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The module's digest, or the version's; empty where there is no module.
    pub digest: String,
    /// Within its ceiling.
    pub decision: Decision,
    /// What it burnt: about one unit an instruction.
    pub fuel: u64,
    /// What it said beyond its ceiling.
    pub notes: Vec<String>,
}

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What the tier's module says.
    pub tier: Verdict,
    /// What the tenant's makes of that, where there is one to ask.
    pub tenant: Option<Verdict>,
    /// What the watching one would have made of it.
    pub shadow: Option<Verdict>,
}

impl Verdict {
    /// What it allows.
    pub const fn allowed(&self) -> Option<&Allowed> {
        match &self.decision {
            Decision::Allow(allowed) => Some(allowed),
            Decision::Deny(_) => None,
        }
    }

    /// Whether the module did not decide at all.
    pub const fn failed(&self) -> bool {
        matches!(&self.decision, Decision::Deny(denial) if denial.is_failure())
    }
}

impl Decided {
    /// What counts: the tenant's verdict, where there is one.
    pub fn verdict(&self) -> &Verdict {
        self.tenant.as_ref().unwrap_or(&self.tier)
    }

    /// What the watching version would have decided, where that is something else.
    pub fn differs(&self) -> Option<&Verdict> {
        let decision = &self.verdict().decision;
        let same = |shadow: &&Verdict| shadow.decision != *decision;
        self.shadow.as_ref().filter(same)
    }
}

impl Policies {
    /// Asks the tier's module, and where it allows anything, the tenant's.
    ///
    /// # Errors
    /// The database's, where a module had to be read, or too many are asked at the
    /// moment. A module that is not there, traps or runs out is a denial.
    pub async fn decide(
        &self,
        database: &Database,
        question: &Question,
        tier: &Tier,
        in_force: &InForce,
    ) -> Result<Decided, Undecided> {
        self.traffic.passes();
        self.decide_for(Purpose::Issue, database, question, tier, in_force)
            .await
    }

    /// The same where nothing comes of it: failures do not count.
    ///
    /// # Errors
    /// See [`Self::decide`].
    pub async fn consider(
        &self,
        database: &Database,
        question: &Question,
        tier: &Tier,
        version: Option<Arc<Version>>,
    ) -> Result<Decided, Undecided> {
        let alone = InForce {
            active: version,
            shadow: None,
        };
        self.decide_for(Purpose::Trial, database, question, tier, &alone)
            .await
    }

    async fn decide_for(
        &self,
        purpose: Purpose,
        database: &Database,
        question: &Question,
        tier: &Tier,
        in_force: &InForce,
    ) -> Result<Decided, Undecided> {
        let first = self.ask_tier(database, question, tier).await?;
        let mut decided = Decided {
            tier: first,
            tenant: None,
            shadow: None,
        };
        let Some(left) = decided.tier.allowed() else {
            return Ok(decided);
        };
        let tenant = match &in_force.active {
            Some(version) => Some(
                self.ask_version(purpose, database, question, left, version)
                    .await?,
            ),
            None => None,
        };
        let shadow = match &in_force.shadow {
            Some(version) => {
                let purpose = purpose.min(Purpose::Watch);
                let watched = self.ask_version(purpose, database, question, left, version);
                // It refuses nothing, and delays it no longer than this.
                let watched = tokio::time::timeout(SHADOW_PATIENCE, watched).await;
                watched.ok().and_then(Result::ok)
            }
            None => None,
        };
        (decided.tenant, decided.shadow) = (tenant, shadow);
        Ok(decided)
    }

    async fn ask_tier(
        &self,
        database: &Database,
        question: &Question,
        tier: &Tier,
    ) -> Result<Verdict, Undecided> {
        let Some(digest) = &tier.module_digest else {
            let why = format!("the tier {} has none", tier.name);
            return Ok(Verdict {
                digest: String::new(),
                decision: Decision::Deny(Denial::NoModule(why)),
                fuel: 0,
                notes: Vec::new(),
            });
        };
        let ceiling = Ceiling::of_tier(tier, &question.scopes);
        let asked = Asked {
            named: digest,
            module: digest,
            settings: &[],
            whose: None,
            purpose: Purpose::Issue,
        };
        self.ask(database, question, &ceiling, &asked).await
    }

    /// Asks a tenant's version what it makes of what the tier's module left.
    ///
    /// # Errors
    /// See [`Self::decide`].
    pub async fn ask_tenant(
        &self,
        database: &Database,
        question: &Question,
        left: &Allowed,
        version: &Version,
    ) -> Result<Verdict, Undecided> {
        self.ask_version(Purpose::Issue, database, question, left, version)
            .await
    }

    async fn ask_version(
        &self,
        purpose: Purpose,
        database: &Database,
        question: &Question,
        left: &Allowed,
        version: &Version,
    ) -> Result<Verdict, Undecided> {
        let ceiling = Ceiling::after(left, &version.claims);
        // A question that was made up for a trial may name any tenant, or none.
        let whose = question.org_id.parse().unwrap_or(OrgId(uuid::Uuid::nil()));
        let asked = Asked {
            purpose,
            ..Asked::of_version(version, whose)
        };
        self.ask(database, question, &ceiling, &asked).await
    }

    async fn ask(
        &self,
        database: &Database,
        question: &Question,
        ceiling: &Ceiling<'_>,
        asked: &Asked<'_>,
    ) -> Result<Verdict, Undecided> {
        let unasked = |denial| Verdict {
            digest: asked.named.to_owned(),
            decision: Decision::Deny(denial),
            fuel: 0,
            notes: Vec::new(),
        };
        let loaded = self.module(database, asked.module, asked.whose).await?;
        let verdict = match loaded {
            Err(why) => unasked(Denial::NoModule(why)),
            Ok(module) if asked.purpose == Purpose::Trial => {
                return Ok(judge(&self.engine, &module, question, ceiling, asked)?);
            }
            Ok(module) => match asked.rests(&module) {
                Some(why) => {
                    if asked.purpose == Purpose::Issue {
                        tokio::time::sleep(RESTING).await;
                    }
                    unasked(Denial::Failed(why))
                }
                None => {
                    let verdict = judge(&self.engine, &module, question, ceiling, asked)?;
                    asked.did(&module, !verdict.failed());
                    verdict
                }
            },
        };
        if let Decision::Deny(denial) = &verdict.decision
            && verdict.failed()
        {
            tracing::warn!("policy {} failed: {}", asked.named, denial.for_the_record());
        }
        Ok(verdict)
    }

    /// What a version makes of each of `inputs`, as far as it comes within `patience`.
    /// It runs where no request waits behind it.
    ///
    /// # Errors
    /// The database's, or there is no such module.
    pub(super) async fn judge_many(
        self: &Arc<Self>,
        database: &Database,
        org_id: OrgId,
        version: Version,
        inputs: Vec<(Question, Allowed)>,
        patience: Duration,
    ) -> Result<Vec<Verdict>, Failure> {
        // One keeps a processor busy all the while; decisions need the others.
        let turn = self.replays.turn(org_id.0).await;
        let turn = turn.map_err(|Full| Failure::Unavailable("Too many replays are asked for."))?;
        let module = self
            .module(database, &version.module_digest, Some(org_id))
            .await?;
        let module = module.map_err(|why| Failure::Conflict(why.into()))?;
        let policies = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || -> Result<Vec<Verdict>, Busy> {
            let _turn = turn;
            let begun = Instant::now();
            let asked = Asked::of_version(&version, org_id);
            let inputs = policies.traffic.between(inputs.iter());
            inputs
                .take_while(|_| begun.elapsed() < patience)
                .map(|(question, left)| {
                    let ceiling = Ceiling::after(left, &version.claims);
                    judge(&policies.engine, &module, question, &ceiling, &asked)
                })
                .collect()
        });
        let judged = judged.await.map_err(Failure::internal)?;
        judged.map_err(|busy| Undecided::Busy(busy).into())
    }
}

impl<'a> Asked<'a> {
    fn of_version(version: &'a Version, whose: OrgId) -> Self {
        Self {
            named: &version.digest,
            module: &version.module_digest,
            settings: &version.settings,
            whose: Some(whose),
            purpose: Purpose::Trial,
        }
    }
}

/// Asks a version outside of any service.
pub(super) fn ask_alone(
    engine: &Engine,
    module: &Module,
    question: &Question,
    ceiling: &Ceiling<'_>,
    version: &Version,
) -> Result<Verdict, Busy> {
    let asked = Asked::of_version(version, OrgId(uuid::Uuid::nil()));
    judge(engine, module, question, ceiling, &asked)
}

fn judge(
    engine: &Engine,
    module: &Module,
    question: &Question,
    ceiling: &Ceiling<'_>,
    asked: &Asked<'_>,
) -> Result<Verdict, Busy> {
    let request = question.before(ceiling, asked.settings);
    let answered = engine.ask(module, &request, asked.spend())?;
    let (decision, notes) = match answered.said {
        Ok(said) => {
            let notes = beyond(&said, ceiling);
            (clamp(said, ceiling), notes)
        }
        Err(trapped) => (
            Decision::Deny(Denial::Failed(trapped.to_string())),
            Vec::new(),
        ),
    };
    Ok(Verdict {
        digest: asked.named.to_owned(),
        decision,
        fuel: answered.fuel,
        notes,
    })
}

/// A module and how it is to be asked.
struct Asked<'a> {
    named: &'a str,
    module: &'a str,
    settings: &'a [(String, String)],
    /// The tenant whose it is; none where it is the operator's.
    whose: Option<OrgId>,
    purpose: Purpose,
}

/// What is done with a decision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Nothing.
    Trial,
    /// It is held beside the one that counts.
    Watch,
    /// A token is issued or refused.
    Issue,
}

impl Asked<'_> {
    const fn spend(&self) -> Spend {
        match self.whose {
            None => Spend::TIER,
            Some(_) => Spend::TENANT,
        }
    }

    /// Why it is not asked now: a tenant's that keeps failing.
    fn rests(&self, module: &Module) -> Option<String> {
        let times = module
            .breaker
            .rests(self.whose?, self.named, Instant::now())?;
        Some(format!(
            "it failed {times} times in a row and rests for a moment"
        ))
    }

    fn did(&self, module: &Module, well: bool) {
        if let Some(whose) = self.whose {
            module.breaker.did(whose, self.named, well, Instant::now());
        }
    }
}
