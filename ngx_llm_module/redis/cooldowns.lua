-- Which deployments are left alone, at all machines. What the caller adds never shortens.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  3 for each deployment that the caller has news of: its id and
--         "cooled", the ms for which it is left alone
--         "stated", the same, when its provider asked for it
--         "opened", 0: a probe found that it answers
-- Gives 3 for each that cools, or was opened lately: its id; one of these words; the ms that are
-- left, or that it is open.

local remembered = 10000
local cooled, stated, opened = KEYS[1] .. ':cooled', KEYS[1] .. ':stated', KEYS[1] .. ':opened'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function advance(name, id, ends)
    if ends > tonumber(redis.call('ZSCORE', name, id) or 0) then
        redis.call('ZADD', name, ends, id)
    end
end

for i = 1, #ARGV, 3 do
    local id, what, ends = ARGV[i], ARGV[i + 1], now + tonumber(ARGV[i + 2])
    if what == 'opened' then
        redis.call('ZREM', cooled, id)
        redis.call('ZADD', opened, now, id)
    else
        redis.call('ZREM', opened, id)
        advance(cooled, id, ends)
        if what == 'stated' then
            advance(stated, id, ends)
        end
    end
end
redis.call('ZREMRANGEBYSCORE', cooled, '-inf', now)
redis.call('ZREMRANGEBYSCORE', stated, '-inf', now)
redis.call('ZREMRANGEBYSCORE', opened, '-inf', now - remembered)

local result = {}
local function add(id, what, time)
    result[#result + 1] = id
    result[#result + 1] = what
    result[#result + 1] = time
end

local found = redis.call('ZRANGE', cooled, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
    local is_stated = redis.call('ZSCORE', stated, found[i])
    add(found[i], is_stated and 'stated' or 'cooled', tonumber(found[i + 1]) - now)
end
found = redis.call('ZRANGE', opened, 0, -1, 'WITHSCORES')
for i = 1, #found, 2 do
    add(found[i], 'opened', now - tonumber(found[i + 1]))
end
return result
