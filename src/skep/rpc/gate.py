"""What stands before every handler: nobody unknown gets in, and nothing but a status gets out.

``Gate`` wraps the handlers of all services, health and reflection too. Handlers raise ``SkepError``; the gate makes a
status of it. Any other exception is a bug: it is logged whole, and the caller is told only that it happened.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc

from skep import errors, model
from skep.rpc import status

log = logging.getLogger("skep.rpc")

Behavior = Callable[..., Any]  # Any: one wrapper for handlers of every message type


class Gate(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in grpc-stubs only, not when it runs
    """Wraps every handler; ``caller`` raises ``Denied`` for calls from nowhere."""

    def __init__(self, caller: Callable[[grpc.ServicerContext], model.Caller]) -> None:
        self._caller = caller

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call, wrapped."""
        handler: Any = continuation(handler_call_details)  # Any: grpc-stubs does not type a handler's behaviours
        if handler is None:
            return None
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming:
            if handler.response_streaming:
                return grpc.stream_stream_rpc_method_handler(self._streaming(handler.stream_stream), *codec)
            return grpc.stream_unary_rpc_method_handler(self._single(handler.stream_unary), *codec)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(handler.unary_stream), *codec)
        return grpc.unary_unary_rpc_method_handler(self._single(handler.unary_unary), *codec)

    def _single(self, behavior: Behavior) -> Behavior:
        def call(request: object, context: grpc.ServicerContext) -> object:
            try:
                self._caller(context)
                return behavior(request, context)
            except Exception as error:
                refuse(context, error)

        return call

    def _streaming(self, behavior: Behavior) -> Behavior:
        if getattr(behavior, "experimental_non_blocking", False):
            return self._callback(behavior)

        def call(request: object, context: grpc.ServicerContext) -> Iterator[object]:
            try:
                self._caller(context)
                yield from behavior(request, context)
            except Exception as error:
                refuse(context, error)

        return call

    def _callback(self, behavior: Behavior) -> Behavior:
        """Health's Watch: it answers through a callback and holds no thread; gRPC knows it by its attributes."""

        @functools.wraps(behavior)
        def call(request: object, context: grpc.ServicerContext, send: Callable[[object], None]) -> None:
            try:
                self._caller(context)
                behavior(request, context, send)
            except Exception as error:
                refuse(context, error)

        return call


def refuse(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """End a call with the status of an error."""
    if not isinstance(error, errors.SkepError):
        log.error("a bug: %s", type(error).__name__, exc_info=error)
        error = errors.Broken(
            "skep failed unexpectedly", why=type(error).__name__, do="report this as a bug, with the daemon's log"
        )
    code = grpc.StatusCode[status.code(error)]
    text = status.message(error)
    detail = status.details(error, code.value[0], text, _announced(context))
    context.set_trailing_metadata(((status.DETAILS_KEY, detail),))
    context.abort(code, text)


def _announced(context: grpc.ServicerContext) -> int | None:
    for key, value in context.invocation_metadata():
        if key == status.LOG_KEY and isinstance(value, str) and value.isascii() and value.isdigit():
            return min(int(value[:9]), status.LOG_BYTES)
    return None
