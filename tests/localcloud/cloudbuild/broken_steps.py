"""Builds that are broken in a step or in a time limit."""

from __future__ import annotations

from tests.localcloud.cloudbuild.samples import Case, build_with, step_build, steps_build

BROKEN_STEPS: dict[str, Case] = {
    "steps: none": ({}, ("steps",), "no build steps are specified"),
    "steps: empty": ({"steps": []}, ("steps",), "no build steps are specified"),
    "name: missing": (
        {"steps": [{"id": "x"}]},
        ("steps", 0, "name"),
        'build step #0 - "x" must specify name',
    ),
    "name: no image": (step_build(name="Ubuntu:"), ("steps", 0, "name"), 'invalid build step name "Ubuntu:"'),
    "name: a URL": (step_build(name="https://gcr.io/x"), ("steps", 0, "name"), "could not parse reference"),
    "args: 101": (
        step_build(args=["x"] * 101),
        ("steps", 0, "args"),
        "build step 0 too many args (max: 100)",
    ),
    "args: long": (
        step_build(args=["x", "y" * 10_001]),
        ("steps", 0, "args", 1),
        "invalid .steps field: build step 0 arg 1 too long (max: 10000)",
    ),
    "script: args": (
        step_build(script="x", args=["y"]),
        ("steps", 0, "args"),
        "build step 0 both script and args provided",
    ),
    "script: entrypoint": (
        step_build(script="x", entrypoint="y", id="a"),
        ("steps", 0, "entrypoint"),
        'build step 0 - "a" both script and entrypoint provided',
    ),
    "env: no =": (
        step_build(env=["A"]),
        ("steps", 0, "env", 0),
        'the Env entry "A" must be of the form "KEY=VALUE"',
    ),
    "env: no key": (step_build(env=["=x"]), ("steps", 0, "env", 0), 'must be of the form "KEY=VALUE"'),
    "env: twice": (step_build(env=["A=1", "A=2"]), ("steps", 0, "env", 1), 'gives "A" a second time'),
    "env: of options": (
        build_with(options={"env": ["A"]}),
        ("options", "env", 0),
        'invalid .options.env field: the Env entry "A"',
    ),
    "dir: out": (step_build(dir="a/../../b"), ("steps", 0, "dir"), 'dir "a/../../b" leads out of /workspace'),
    "waitFor: unknown": (step_build(waitFor=["x"]), ("steps", 0, "waitFor", 0), "no step has this ID"),
    "waitFor: itself": (
        step_build(id="a", waitFor=["-", "a"]),
        ("steps", 0, "waitFor", 1),
        'build step #0 - "a" depends on "a", which has not been defined: it is this step itself',
    ),
    "waitFor: later": (
        steps_build({"waitFor": ["b"]}, {"id": "b"}),
        ("steps", 0, "waitFor", 0),
        "step #1 is defined later",
    ),
    "id: twice": (steps_build({"id": "a"}, {"id": "a"}), ("steps", 1, "id"), "the ID is not unique"),
    "id: -": (step_build(id="-"), ("steps", 0, "id"), 'the ID cannot be "-"'),
    "timeout: hours": (
        build_with(timeout="1h"),
        ("timeout",),
        "invalid value for 'build.timeout': illegal duration format \"1h\"",
    ),
    "timeout: zero": (build_with(timeout="0s"), ("timeout",), "must be greater than 0"),
    "timeout: negative": (build_with(timeout="-1s"), ("timeout",), "must be greater than 0"),
    "timeout: over a day": (build_with(timeout="86401s"), ("timeout",), 'less than or equal to "24h0m0s"'),
    "timeout: step over build": (
        step_build(timeout="1201s", id="a") | {"timeout": "1200s"},
        ("steps", 0, "timeout"),
        (
            "invalid value for 'build.steps[0].timeout': value must be less than or equal to "
            'build timeout value of "20m0s" (build step #0 - "a")'
        ),
    ),
    "timeout: step over default": (
        step_build(timeout="3601s"),
        ("steps", 0, "timeout"),
        'build timeout value of "1h0m0s"',
    ),
    "timeout: step": (step_build(timeout="0s"), ("steps", 0, "timeout"), "must be greater than 0"),
    "queueTtl": (build_with(queueTtl="soon"), ("queueTtl",), "invalid value for 'build.queue_ttl'"),
}
