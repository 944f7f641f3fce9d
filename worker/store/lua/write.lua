-- One command that writes. ARGV  its words. Reply {now, what it answers}
return {now, redis.call(unpack(ARGV))}
