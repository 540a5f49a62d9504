// The engine child: one base model, one synchronous decode loop, JSON messages over the IPC channel.
export {};
