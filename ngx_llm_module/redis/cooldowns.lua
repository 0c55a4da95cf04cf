-- Which deployments are left alone, at all machines. What the caller adds never shortens.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  2 for each deployment that the caller has just cooled: its id, for how many ms
-- Gives 2 for each that cools: its id, the ms that are left.

local cooled = KEYS[1] .. ':cooled'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

for i = 1, #ARGV, 2 do
    local ends = now + tonumber(ARGV[i + 1])
    if ends > tonumber(redis.call('ZSCORE', cooled, ARGV[i]) or 0) then
        redis.call('ZADD', cooled, ends, ARGV[i])
    end
end
redis.call('ZREMRANGEBYSCORE', cooled, '-inf', now)

local found, result = redis.call('ZRANGE', cooled, 0, -1, 'WITHSCORES'), {}
for i = 1, #found, 2 do
    result[i] = found[i]
    result[i + 1] = tonumber(found[i + 1]) - now
end
return result
