-- Claim an idempotency key. KEYS: the key. ARGV: owner, hash of the request, lease (ms).
-- Answer: state (0 claimed, 1 runs elsewhere, 2 finished, 3 another request), ms left, answer kept (0/1), answer, receipt.
local stored = redis.call('HMGET', KEYS[1], 'hash', 'owner', 'done', 'answer', 'receipt')
if not stored[1] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'hash', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {0, 0, 0, '', ''}
end
local left = redis.call('PTTL', KEYS[1])
if stored[1] ~= ARGV[2] then return {3, left, 0, '', ''} end
if stored[3] then return {2, left, stored[4] and 1 or 0, stored[4] or '', stored[5] or ''} end
if stored[2] == ARGV[1] then return {0, left, 0, '', ''} end
return {1, left, 0, '', ''}
