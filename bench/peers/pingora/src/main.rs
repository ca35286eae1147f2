// SPDX-License-Identifier: Apache-2.0
// The load balancer of Pingora's tutorial: round robin over the origins, a rate limit by the field "appid", Host
// rewritten, and one response field added. What a bench needs to turn comes from the environment: LISTEN, ORIGINS
// (comma-separated), MAX_REQ (per second; beyond it: 429), THREADS; POLICY=off leaves all filters out.
use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::lb::{selection::RoundRobin, LoadBalancer};
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use pingora_limits::rate::Rate;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static RATE: LazyLock<Rate> = LazyLock::new(|| Rate::new(Duration::from_secs(1)));

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_string())
}

struct Balancer {
    origins: Arc<LoadBalancer<RoundRobin>>,
    most: isize,
    has_policy: bool,
}

impl Balancer {
    fn appid(session: &Session) -> Option<String> {
        let value = session.req_header().headers.get("appid")?;
        Some(value.to_str().ok()?.to_string())
    }

    // Unlike the tutorial's, it keeps the connection: all peers of the bench do.
    async fn refuse(&self, session: &mut Session) -> Result<bool> {
        let mut header = ResponseHeader::build(429, None)?;
        header.insert_header("X-Rate-Limit-Limit", self.most.to_string())?;
        header.insert_header("X-Rate-Limit-Remaining", "0")?;
        header.insert_header("X-Rate-Limit-Reset", "1")?;
        header.insert_header("Content-Length", "0")?;
        session.write_response_header(Box::new(header), true).await?;
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = ();
    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<bool> {
        if !self.has_policy {
            return Ok(false);
        }
        match Self::appid(session) {
            Some(appid) if RATE.observe(&appid, 1) > self.most => self.refuse(session).await,
            _ => Ok(false),
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        let origin = self.origins.select(b"", 256).unwrap();
        Ok(Box::new(HttpPeer::new(origin, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        if self.has_policy {
            request.insert_header("Host", "one.one.one.one")?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        if self.has_policy {
            response.insert_header("X-Served-By", "bench")?;
        }
        Ok(())
    }
}

fn main() {
    let conf = ServerConf {
        threads: setting("THREADS", "1").parse().unwrap(),
        upstream_keepalive_pool_size: 20000,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let origins = setting("ORIGINS", "127.0.0.1:80");
    let balancer = Balancer {
        origins: Arc::new(LoadBalancer::try_from_iter(origins.split(',')).unwrap()),
        most: setting("MAX_REQ", "1000000000").parse().unwrap(),
        has_policy: setting("POLICY", "on") != "off",
    };
    let mut service = http_proxy_service(&server.configuration, balancer);
    service.add_tcp(&setting("LISTEN", "127.0.0.1:8080"));
    server.add_service(service);
    server.run_forever();
}
