-- One record, with its unread callbacks.
-- Arguments and reply: worker/store/loaded.py.
local inbox_read, tenant = unpack(redis.call('HMGET', KEY.job .. job_id, 'inbox_read', 'tenant'))
return reply{
  job = redis.call('HGETALL', KEY.job .. job_id),
  inbox = redis.call('LRANGE', KEY.inbox .. job_id, tonumber(inbox_read or 0), -1),
  quickest_ms = tenant and redis.call('GET', KEY.quickest .. tenant),
}
