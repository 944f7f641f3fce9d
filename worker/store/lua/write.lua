-- One command that writes.
return reply{answer = redis.call(unpack(command))}
