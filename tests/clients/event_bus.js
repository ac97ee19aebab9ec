// Follows a running platform's events through npm's marathon-event-bus-client, as its users do, while an app is created, scaled and deleted.
// Usage: NODE_PATH=…/node_modules node event_bus.js HOST PORT
"use strict";

const http = require("http");
const MarathonEventBusClient = require("marathon-event-bus-client");

const [host, port] = process.argv.slice(2);
const types = ["event_stream_attached", "deployment_info", "deployment_step_success", "deployment_success", "status_update_event",
    "group_change_success", "app_terminated_event"];
const seen = [];

const fail = (why) => {
    console.error(`${why}; seen: ${seen.map((e) => e.name).join(", ")}`);
    process.exit(1);
};
const deadline = setTimeout(() => fail("it has not come to its end"), 180000);

const send = (method, path, body) => new Promise((resolve) => {
    const request = http.request({ host, port, method, path, headers: { "Content-Type": "application/json" } }, (answer) => {
        let text = "";
        answer.on("data", (piece) => { text += piece; });
        answer.on("end", () => (answer.statusCode < 300 ? resolve(JSON.parse(text)) : fail(`${method} ${path}: ${answer.statusCode} ${text}`)));
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
});

// Resolves when an event of this name satisfies; looks at those that have come already, too.
const until = (name, holds) => new Promise((resolve) => {
    const look = () => {
        const event = seen.find((e) => e.name === name && holds(e.data));
        if (event) resolve(event.data);
        else setTimeout(look, 20);
    };
    look();
});

const handlers = {};
for (const type of types) handlers[type] = (name, data) => seen.push({ name, data });
const client = new MarathonEventBusClient({ marathonHost: host, marathonPort: port, eventTypes: types, handlers });
client.on("error", (error) => fail(`the client says ${JSON.stringify(error)}`));
client.on("subscribed", async () => {
    await until("event_stream_attached", () => true);
    const app = { id: "/bus/sleeper", cmd: "sleep 600", cpus: 0.01, mem: 16 };
    await send("POST", "/v2/apps", app);
    const plan = (await until("deployment_info", (d) => d.currentStep.actions[0].app === app.id)).plan;
    await until("group_change_success", (d) => d.groupId === "/bus");
    await until("status_update_event", (d) => d.appId === app.id && d.taskStatus === "TASK_RUNNING");
    await until("deployment_success", (d) => d.id === plan.id);
    const scaled = (await send("PUT", "/v2/apps//bus/sleeper", { instances: 2 })).deploymentId;
    await until("deployment_success", (d) => d.id === scaled);
    await send("DELETE", "/v2/apps//bus/sleeper");
    await until("app_terminated_event", (d) => d.appId === app.id);
    for (const { name, data } of seen) if (data.eventType !== name || !/^\d{4}-.*\.\d{3}Z$/.test(data.timestamp)) fail(`odd: ${JSON.stringify(data)}`);
    clearTimeout(deadline);
    client.unsubscribe();
    console.log("done");
    setTimeout(() => process.exit(0), 200);
});
client.subscribe();
