# SPDX-License-Identifier: Apache-2.0
# A gRPC server of grpcio whose messages are bytes. Prints the port that it listens on; ends with its standard input.
import sys
import threading
import time
from concurrent import futures

import grpc

cancelled = threading.Event()


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-node", "a"),))
    context.set_trailing_metadata((("x-sum", sent.get("x-a", "")), ("x-raw-bin", b"\x00\xff")))
    return request.upper()


def count(requests, context):
    return b",".join(request for request in requests)


def split(request, context):
    for part in request.split(b","):
        yield part


def chat(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.set_trailing_metadata((("x-why", "spec"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100% \u00e4")


def fail_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "behind one")


def slow(request, context):
    cancelled.clear()
    context.add_callback(cancelled.set)
    yield b"begun"
    time.sleep(20 if not cancelled.wait(20) else 0)


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(10) else b"no"


def check(request, context):
    return b"\x08\x01"


HANDLERS = {
    "/spec.S/Unary": grpc.unary_unary_rpc_method_handler(unary),
    "/spec.S/Count": grpc.stream_unary_rpc_method_handler(count),
    "/spec.S/Split": grpc.unary_stream_rpc_method_handler(split),
    "/spec.S/Chat": grpc.stream_stream_rpc_method_handler(chat),
    "/spec.S/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/spec.S/FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "/spec.S/Slow": grpc.unary_stream_rpc_method_handler(slow),
    "/spec.S/WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(check),
}


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return HANDLERS.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((Handler(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
while True:
    time.sleep(3600)
