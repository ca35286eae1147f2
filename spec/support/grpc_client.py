# SPDX-License-Identifier: Apache-2.0
# A gRPC client of grpcio: makes calls of each kind, and prints what came of them as one line of JSON.
#   grpc_client.py ADDRESS [CA]      with CA: over TLS, as localhost
import json
import queue
import sys

import grpc

address = sys.argv[1]
options = [("grpc.enable_http_proxy", 0)]
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options.append(("grpc.ssl_target_name_override", "localhost"))
    channel = grpc.secure_channel(address, credentials, options)
else:
    channel = grpc.insecure_channel(address, options)

unary = channel.unary_unary
WAIT = 60
results = {}


def text(pairs):
    return {key: value if isinstance(value, str) else value.hex() for key, value in pairs}


def step(name):
    def run(function):
        try:
            results[name] = function()
        except grpc.RpcError as error:
            results[name] = {"code": error.code().name, "details": error.details(), "trailers": text(error.trailing_metadata() or ())}
        except Exception as error:
            results[name] = {"broken": repr(error)}

    return run


@step("unary")
def _():
    reply, call = unary("/spec.S/Unary").with_call(b"hello", timeout=WAIT, metadata=(("x-a", "1"),))
    return {"reply": reply.decode(), "head": text(call.initial_metadata()), "trailers": text(call.trailing_metadata())}


@step("large")
def _():
    return unary("/spec.S/Unary")(b"x" * 3000000, timeout=WAIT) == b"X" * 3000000


@step("client_stream")
def _():
    return channel.stream_unary("/spec.S/Count")(iter([b"%d" % i for i in range(100)]), timeout=WAIT).decode()


@step("server_stream")
def _():
    wanted = b",".join(b"%d" % i for i in range(100))
    return b",".join(channel.unary_stream("/spec.S/Split")(wanted, timeout=WAIT)) == wanted


@step("chat")
def _():
    # Each message is sent once the answer to the one before has come.
    source, answers = queue.Queue(), []
    source.put(b"m0")
    replies = channel.stream_stream("/spec.S/Chat")(iter(source.get, None), timeout=WAIT)
    for reply in replies:
        answers.append(reply.decode())
        source.put(b"m%d" % len(answers) if len(answers) < 20 else None)
    return answers


@step("fail")
def _():
    return unary("/spec.S/Fail")(b"", timeout=WAIT).decode()


@step("fail_late")
def _():
    call = channel.unary_stream("/spec.S/FailLate")(b"", timeout=WAIT)
    return [next(call).decode(), call.code().name, call.details()]


@step("unknown")
def _():
    return unary("/spec.S/Unknown")(b"", timeout=WAIT).decode()


@step("deadline")
def _():
    call = channel.unary_stream("/spec.S/Slow")(b"", timeout=1)
    first = next(call).decode()
    return [first, call.code().name, unary("/spec.S/WasCancelled")(b"", timeout=WAIT).decode()]


@step("cancel")
def _():
    call = channel.unary_stream("/spec.S/Slow")(b"", timeout=WAIT)
    first = next(call).decode()
    call.cancel()
    return [first, unary("/spec.S/WasCancelled")(b"", timeout=WAIT).decode()]


@step("many")
def _():
    calls = [unary("/spec.S/Unary").future(b"a%d" % i, timeout=WAIT) for i in range(60)]
    return all(call.result() == b"A%d" % i for i, call in enumerate(calls))


@step("refused")
def _():
    return unary("/refused")(b"", timeout=WAIT).decode()


@step("dead")
def _():
    return unary("/dead")(b"", timeout=WAIT).decode()


print(json.dumps(results))
