"""Handlers of networks, subnetworks, and routers with Cloud NAT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import already_exists, required, unimplemented
from localcloud.services.compute.calls_catalog import aggregate, both, check_scope, resource, scope
from localcloud.services.compute.calls_insert import request_key, requester
from localcloud.services.compute.links import link, parse
from localcloud.services.compute.refusals import bad_field, check_name, missing

if TYPE_CHECKING:
    from localcloud.core.service import Call, Handler
    from localcloud.services.compute.state_networks import Networks
    from localcloud.services.compute.state_operations import Operations

Json = dict[str, Any]

_ACCESS = "privateIpGoogleAccess"
# The fields of a router's body that count here.
_ROUTER = frozenset({"name", "network", "nats", "description"})
# Those that only Google sets. gcloud sends them back.
_SHOWN = frozenset({"kind", "id", "selfLink", "creationTimestamp", "region"})


class NetworkCalls:
    """Handlers of the project's networks. Every change is done when its operation is answered."""

    def __init__(self, networks: Networks, operations: Operations) -> None:
        self._networks = networks
        self._operations = operations

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler per method id."""
        return {
            **both("network", "networks", "project", self._all_networks, path="global/networks"),
            **both("subnetwork", "subnetworks", "region", self._subnetworks),
            "compute.subnetworks.aggregatedList": lambda call: aggregate(
                call, "subnetworks", self._subnetworks, regional=True
            ),
            "compute.subnetworks.setPrivateIpGoogleAccess": self._set_access,
            "compute.subnetworks.patch": self._patch_subnetwork,
            **both("router", "routers", "region", self._routers),
            "compute.routers.insert": self._insert_router,
            "compute.routers.patch": self._patch_router,
            "compute.routers.delete": self._delete_router,
        }

    def _all_networks(self, parent: str) -> Iterable[Json]:
        for network in self._networks.by_name.values():
            subnetworks = [
                link(f"{parent}/regions/{region}/subnetworks/{own}")
                for region, own in network.subnetworks.items()
            ]
            path = f"{parent}/global/networks/{network.name}"
            fields = {"autoCreateSubnetworks": network.auto, "subnetworks": subnetworks}
            yield resource("network", path, **fields)

    def _subnetworks(self, parent: str) -> Iterable[Json]:
        project, region = parent.rsplit("/regions/", 1)
        for number, network in enumerate(self._networks.by_name.values()):
            name = network.subnetworks.get(region)
            if name is not None:
                yield resource(
                    "subnetwork",
                    f"{parent}/subnetworks/{name}",
                    network=link(f"{project}/global/networks/{network.name}"),
                    region=link(parent),
                    ipCidrRange=f"10.{128 + number}.0.0/16",
                    privateIpGoogleAccess=self._networks.has_private_access(region, name),
                )

    def _set_access(self, call: Call) -> Json:
        path = self._allowed(call, "subnetworks", "setPrivateIpGoogleAccess")
        return self._access_set(call, path, "setPrivateIpGoogleAccess")

    def _patch_subnetwork(self, call: Call) -> Json:
        path = self._allowed(call, "subnetworks", "update")
        others = sorted(set(call.body) - {_ACCESS, "fingerprint", "name"})
        if others:
            raise unimplemented(
                f"localcloud changes {_ACCESS} of a subnetwork only, not {', '.join(others)}."
            )
        return self._access_set(call, path, "patch")

    def _access_set(self, call: Call, path: str, kind: str) -> Json:
        region, name = call.params["region"], call.params["subnetwork"]
        if self._networks.subnetwork(region, name) is None:
            raise missing(path)
        if _ACCESS in call.body:
            self._networks.set_private_access(region, name, on=bool(call.body[_ACCESS]))
        return self._done(call, kind, path)

    def _routers(self, parent: str) -> Iterable[Json]:
        known = [router for path, router in self._networks.routers.items() if path.startswith(f"{parent}/")]
        for router in known:
            path = f"{parent}/routers/{router['body']['name']}"
            yield resource("router", path, **{**router["body"], "region": link(parent)})

    def _insert_router(self, call: Call) -> Json:
        name = call.body.get("name")
        if not name:
            raise required("Required field 'resource.name' not specified")
        check_name("resource.name", name)
        path = self._allowed(call, "routers", "create", name)
        url = call.body.get("network", "")
        parts = parse(url, "global/networks/{name}")
        if parts is None:
            raise bad_field("resource.network", url, "The URL is malformed.")
        if parts["name"] not in self._networks.by_name:
            raise missing(f"projects/{call.params['project']}/global/networks/{parts['name']}")
        with self._networks.routers.lock:
            if self._networks.routers.find(path) is not None:
                raise already_exists(f"The resource '{path}' already exists")
            self._keep(call, path, parts["name"], call.body)
        return self._done(call, "insert", path)

    def _patch_router(self, call: Call) -> Json:
        path = self._allowed(call, "routers", "update")
        with self._networks.routers.lock:
            known = self._router(path)
            self._keep(call, path, known["network"], {**known["body"], **call.body})
        return self._done(call, "patch", path)

    def _delete_router(self, call: Call) -> Json:
        path = self._allowed(call, "routers", "delete")
        self._router(path)
        self._networks.routers.remove(path)
        return self._done(call, "delete", path)

    def _router(self, path: str) -> Json:
        found = self._networks.routers.find(path)
        if found is None:
            raise missing(path)
        return found

    def _keep(self, call: Call, path: str, network: str, body: Json) -> None:
        others = sorted(set(body) - _ROUTER - _SHOWN)
        if others:
            raise unimplemented(f"localcloud's routers have no {', '.join(others)}.")
        settings = {key: value for key, value in body.items() if key in _ROUTER}
        kept = {"region": call.params["region"], "network": network, "body": settings}
        self._networks.routers.put(path, kept)

    def _allowed(self, call: Call, collection: str, verb: str, name: str | None = None) -> str:
        """Return the path of the resource that a call names; raises `ApiError` 403 or 404."""
        parent = scope(call, "region")
        path = f"{parent}/{collection}/{name or call.params[collection.removesuffix('s')]}"
        call.require(f"compute.{collection}.{verb}", path)
        check_scope(parent)
        return path

    def _done(self, call: Call, kind: str, path: str) -> Json:
        project, region = call.params["project"], call.params["region"]
        target = (project, f"regions/{region}", path, resource("", path)["id"])
        key = request_key(call, project, region, path)
        operation = self._operations.open(kind, target, requester(call.caller), request=key)
        self._operations.finish(operation)
        return self._operations.view(operation)
