-- Part of the scripts: who holds what. `workers` is a hash: a worker's name, and when its leases end
-- unless it calls again (ms). `worker:` and its name is a hash: a lease's number, and what it holds
-- (MessagePack: number of names that do not belong to the deployment, then name and amount of each).
-- The empty number has "settled numbers": up to which of the worker's calls all is done, and which
-- later ones were done; "ended" in front of it: its leases went away; behind it, on a line of their
-- own, answers that are kept (commit.lua).

local workers = base .. ':workers'
-- A worker's calls are known for so long after its end. It repeats none later (kRemembered of
-- redis_store.cpp).
local REMEMBERED = 3600 * 1000
local FOREVER = '9007199254740991'

-- What so many leases hold, each of them this, from the given name on.
local function give_back(held, first, times)
    local unread = {}
    for i = first, #held, 2 do
        if not cells[held[i]] then
            unread[#unread + 1] = held[i]
        end
    end
    if #unread > 0 then
        local values = redis.call('HMGET', counters, unpack(unread))
        for i = 1, #unread do
            read_cell(unread[i], values[i])
        end
    end
    for i = first, #held, 2 do
        local cell = cells[held[i]]
        local rest = cell[HELD] - times * held[i + 1]
        cell[HELD] = rest > 0 and rest or 0
        cell[IS_CHANGED] = cell[KIND] ~= nil  -- else there is no such counter any more
    end
end

local ended = {}  -- workers whose leases go away, and what remains to be known

-- What it still sends is not done any more, when it `is_gone` for sure. Its leases are there until all
-- is written, but they end once.
local function end_worker(worker, is_gone)
    if ended[worker] then
        return
    end
    local found = redis.call('HGETALL', base .. ':worker:' .. worker)
    local known = FOREVER
    for i = 1, #found, 2 do
        if found[i] == '' then
            known = is_gone and FOREVER or found[i + 1]
        else
            give_back(cmsgpack.unpack(found[i + 1]), 2, 1)
        end
    end
    ended[worker] = known
end

-- Of all workers but `me`, whose time it renews.
local function sweep(me, ttl)
    local found, forgotten = redis.call('HGETALL', workers), {}
    for i = 1, #found, 2 do
        local worker, ends = found[i], tonumber(found[i + 1])
        if worker ~= me and now >= ends then
            if now < ends + REMEMBERED then
                if not string.find(redis.call('HGET', base .. ':worker:' .. worker, '') or 'ended',
                    '^ended') then
                    end_worker(worker, false)
                end
            else
                forgotten[#forgotten + 1] = worker
            end
        end
    end
    redis.call('HSET', workers, me, string.format('%d', now + ttl))
    for _, worker in ipairs(forgotten) do
        redis.call('HDEL', workers, worker)
        redis.call('DEL', base .. ':worker:' .. worker)
    end
end

local function save_ended()
    for worker, known in pairs(ended) do
        local key = base .. ':worker:' .. worker
        redis.call('DEL', key)
        redis.call('HSET', key, '', 'ended ' .. known)
        redis.call('HSET', workers, worker, string.format('%d', now - 1))
    end
end
