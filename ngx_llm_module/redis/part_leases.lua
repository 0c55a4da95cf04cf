-- Part of the scripts: leases. KEYS[1] is the beginning of all names. `leases` is a sorted set of
-- lease ids by the time when they end, `held` has what each one holds ("counter amount ...", what
-- belongs to the deployment behind a line end; empty: it was settled), `reserved` has the sum of
-- that for each counter. All of it goes away when nobody comes for a while.

local base = KEYS[1]
local leases, held, reserved = base .. ':leases', base .. ':held', base .. ':reserved'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function take_back(text)
    for name, amount in string.gmatch(text, '(%S+) (%d+)') do
        if redis.call('HINCRBY', reserved, name, '-' .. amount) <= 0 then
            redis.call('HDEL', reserved, name)
        end
    end
end

-- Leases that nobody renewed, and the marks of settled ones.
local function sweep()
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)) do
        take_back(redis.call('HGET', held, old) or '')
        redis.call('HDEL', held, old)
        redis.call('ZREM', leases, old)
    end
end

local function keep(id, text, ttl)
    redis.call('HSET', held, id, text)
    redis.call('ZADD', leases, now + ttl, id)
    for _, key in ipairs({leases, held, reserved}) do
        redis.call('PEXPIRE', key, 4 * ttl)
    end
end
