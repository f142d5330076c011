// The contract: generated messages and services, and what binds them to gRPC. Nothing else.

export * from './gen/galley/v1/admin_service_pb.ts';
export * from './gen/galley/v1/agent_service_pb.ts';
export * from './gen/galley/v1/common_pb.ts';
export * from './gen/galley/v1/compute_environment_service_pb.ts';
export * from './gen/galley/v1/consumable_resource_service_pb.ts';
export * from './gen/galley/v1/event_service_pb.ts';
export * from './gen/galley/v1/history_service_pb.ts';
export * from './gen/galley/v1/job_definition_service_pb.ts';
export * from './gen/galley/v1/job_pb.ts';
export * from './gen/galley/v1/job_queue_service_pb.ts';
export * from './gen/galley/v1/job_service_pb.ts';
export * from './gen/galley/v1/log_service_pb.ts';
export * from './gen/galley/v1/node_pb.ts';
export * from './gen/galley/v1/node_service_pb.ts';
export * from './gen/galley/v1/schedule_service_pb.ts';
export * from './gen/galley/v1/scheduling_policy_service_pb.ts';
export * from './grpc/channel.ts';
export * from './grpc/client.ts';
export * from './grpc/service.ts';
export * from './grpc/status.ts';
