//! A second core of the same deployment, on a port of its own.

use std::ops::Deref;

use super::{Deployment, free_port};

/// One more replica: the same database, store, keys and issuer.
pub struct Replica(Deployment);

impl Deref for Replica {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.0
    }
}

impl Deployment {
    /// Starts a core beside this one, with `settings` of its own.
    pub async fn replica(&self, settings: &[(&str, &str)]) -> Replica {
        let port = free_port();
        let mut vars = self.vars.clone();
        vars.insert("PORT".to_owned(), port.to_string());
        for (name, value) in settings {
            vars.insert((*name).to_owned(), (*value).to_owned());
        }
        let folder = self.folder.join(format!("replica-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut replica = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: self.http.clone(),
            operator: self.operator.clone(),
            pool: self.pool.clone(),
            private_key: self.private_key.clone(),
            public_key: self.public_key.clone(),
            folder,
            vars,
            core: None,
            edge: None,
            database: self.database.clone(),
        };
        replica.start_core().await;
        Replica(replica)
    }
}

impl Replica {
    /// Stops it alone; the deployment goes on.
    pub async fn stop(mut self) {
        self.0.stop_core().await;
    }
}
