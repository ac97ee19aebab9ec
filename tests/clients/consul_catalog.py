"""Debian's python3-consul against the door at PORT: finds SERVICE, waits for news of it, registers a service of its own and sees its check."""
import sys

import consul
from consul.base import CB

port, service = int(sys.argv[1]), sys.argv[2]
client = consul.Consul(port=port)

assert client.status.leader(), "no leader"
assert client.agent.self()["Config"]["NodeName"] in [n["Node"] for n in client.catalog.nodes()[1]]
assert "dc1" in client.catalog.datacenters()
assert service in client.catalog.services()[1]
index, entries = client.health.service(service, passing=True)
assert entries, "no instance"
assert all(c["Status"] == "passing" for e in entries for c in e["Checks"])
assert client.catalog.service(service)[1][0]["ServicePort"] == entries[0]["Service"]["Port"]
again, _ = client.health.service(service, passing=True, index=index, wait="1s")
assert again == index, (again, index)

assert client.agent.service.register("py", service_id="py1", port=1, tags=["t"], check=consul.Check.ttl("30s"))
assert "py1" in client.agent.services()
assert not client.health.service("py", passing=True)[1], "critical until it says otherwise"
# Its own ttl_pass says GET, which Consul has not taken since 1.0 (405), and neither do we.
assert client.http.put(CB.bool(), "/v1/agent/check/pass/service:py1", params={"note": "well"})
assert client.health.service("py", passing=True)[1][0]["Service"]["Tags"] == ["t"]
assert [c["Output"] for c in client.health.checks("py")[1]] == ["well"]
assert client.agent.service.maintenance("py1", True, "for a while")
assert not client.health.service("py", passing=True)[1]
assert client.agent.service.maintenance("py1", False)
assert client.http.put(CB.bool(), "/v1/agent/service/deregister/py1")
assert not client.health.service("py")[1]
print("well", ",".join(f"{e['Service']['Address']}:{e['Service']['Port']}" for e in entries))
