import type { ChannelOptions } from '@grpc/grpc-js';

// Every option is written through these types: grpc-js ignores a mistyped key without a word.

/** The largest message that either side takes, in bytes. */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

/** What every client channel uses: bounded messages, pings that notice a dead peer in seconds, quick reconnects. */
export const CLIENT_CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 10_000,
  'grpc.enable_retries': 0,
} satisfies ChannelOptions;

/** What every server uses. */
export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
} satisfies ChannelOptions;
